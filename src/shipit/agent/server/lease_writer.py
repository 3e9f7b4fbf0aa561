"""Write a controller's renewals and verdict, and name the disk as the cause if it takes neither."""

from dataclasses import replace
from typing import Optional

from ..protocol.messages import Failure, Renew, Settle, Settled
from ..system.failures import from_os_error
from ..transaction.store import EXPIRED, Store


class LeaseWriter:
    """The lease and the verdict of one session's transaction."""

    def __init__(self) -> None:
        self._error: Optional[Failure] = None  # why the last write failed
        self._is_over = False

    def renew(self, store: Store, request: Renew) -> None:
        """Renew the lease, unless a verdict was lost; a lease that cannot be written runs out."""
        from ..transaction import client  # noqa: PLC0415

        if self._is_over:
            return
        try:
            client.renew(store, request.txn, request.lease)
        except OSError as error:
            self._error = from_os_error(error, "renew")
        else:
            self._error = None

    def settle(self, store: Store, request: Settle) -> bool:
        """Write the verdict; return False if the release has not passed its gate yet.

        If the disk refuses it, end the lease: the host rolls back now, not when the lease runs out.
        """
        from ..transaction import client  # noqa: PLC0415

        try:
            return bool(client.settle(store, request.txn, request.verdict))
        except OSError as error:
            self._error, self._is_over = from_os_error(error, "settle"), True
            store.end_lease()
            return True

    def explained(self, message: object) -> object:
        """Return a message; where the disk let the lease expire, its rollback names the disk."""
        if not self._error or not isinstance(message, Settled):
            return message
        has_expired = message.failure is not None and message.failure.code == EXPIRED
        return replace(message, failure=self._error) if has_expired else message

"""Log in to the first hosts of a run while wheels, secrets and templates are still read.

Nothing runs on a host by that: input that turns out to be wrong leaves all hosts untouched.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from shipit.errors import InputError
from shipit.events import Noted
from shipit.transport.endpoint import endpoint
from shipit.transport.ssh.client import Network

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future

    from shipit.events import Emit
    from shipit.release.inputs import HostInput, RunOptions
    from shipit.transport.ssh.client import Connection


class Logins:
    """Logins that have begun, each for one session; made by `logging_in`."""

    def __init__(self, run: RunOptions, network: Network) -> None:
        self.network = network
        self._run = run
        self._executor = ThreadPoolExecutor(run.forks, thread_name_prefix="login")
        self._begun: dict[str, Future[Connection]] = {}

    def begin(self, found: Sequence[Sequence[HostInput]]) -> None:
        """Begin to log in to as many hosts of the first deployment as are handled at once."""
        become = self._run.become_password
        for target in found[0][: self._run.forks]:
            with suppress(InputError):  # it is reported when all input was read
                to = endpoint(target.host, become_password=become, render=target.filled)
                if to.connection == "ssh":
                    self._begun[to.name] = self._executor.submit(self.network.connect, to)

    def take(self, name: str) -> Connection | None:
        """Return the connection to a host, waiting for it; None if there is none, or it is lost.

        Raises:
            Unreachable, InputError: as Network.connect.
        """
        begun = self._begun.pop(name, None)
        connection = begun.result() if begun else None
        if connection is None or connection.transport.is_active():
            return connection
        connection.close()
        return None

    def close(self) -> None:
        """Close what nobody has taken, also what is still being opened."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        for begun in self._begun.values():
            begun.add_done_callback(_close)


def _close(begun: Future[Connection]) -> None:
    if not begun.cancelled() and begun.exception() is None:
        begun.result().close()


@contextmanager
def logging_in(run: RunOptions, emit: Emit) -> Iterator[Logins]:
    """Give what begins logins; those that nobody has taken are closed at the end."""
    with Network(note=lambda text: emit(Noted(text))) as network:
        logins = Logins(run, network)
        try:
            yield logins
        finally:
            logins.close()

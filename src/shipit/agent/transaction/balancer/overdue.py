"""Put a host back into its load balancer that its last transaction has left out.

That transaction is over, and a healthy release runs: only the load balancer did not answer.
"""

from ...protocol.balancers import Drained
from ...protocol.manifest import Manifest
from ...protocol.messages import Attempt
from ...records import drained, history, releases
from ...system import files
from ...system.failures import Refused
from ..hooks.command import Run
from ..store import Store
from . import membership

LOCK_WAIT = 0.2  # seconds


def undrain(store: Store) -> str:
    """Try once more; return a summary, "" if there is nothing to do.

    Holds the lock of the transaction, so that no deploy drains this host meanwhile.
    """
    record = drained.read(store.paths)
    if record is None or not drained.is_overdue(record, history.entries(store.paths)):
        return ""
    attempt = Attempt(record.txn, record.what, record.who, 0, record.since)
    try:
        with store.driving(attempt, LOCK_WAIT):
            return "" if store.load() else _undrained(store, record)
    except (files.Locked, OSError):
        return ""


def _undrained(store: Store, record: Drained) -> str:
    paths, top = store.paths, history.head(history.entries(store.paths))
    of = membership.of_record(paths, (record.release, top.release if top else ""), record)
    running = releases.manifest(paths, top.release) if top else None
    if of is None or running is None or not _runs(store, running):
        return ""
    where = membership.described(record.balancer)
    try:
        membership.undrain(
            Run(store, lambda _: None, of, membership.UNDRAIN), record.balancer, patient=False
        )
    except Refused as refused:
        return f"this host is still out of its load balancer ({where}): {refused.failure.what}"
    drained.remove(paths)
    return f"this host was put back into its load balancer: {where}"


def _runs(store: Store, release: Manifest) -> bool:
    views = store.host.show([unit.name for unit in release.units if unit.start])
    return all(view.is_active for view in views.values())

"""Put a host back into its load balancer that its last transaction has left out.

That transaction is over, and a healthy release runs: only the load balancer did not answer.
"""

from contextlib import suppress
from dataclasses import replace

from ...protocol.balancers import Drained, LoadBalancer, Place
from ...protocol.manifest import Manifest
from ...protocol.messages import Attempt
from ...records import drained, history, releases
from ...system import files
from ...system.failures import Refused
from ..hooks.command import Run
from ..store import Store
from . import membership
from .membership import UNDRAIN

LOCK_WAIT = 0.2  # seconds
COMMAND_TIMEOUT = 10.0  # seconds: an operator waits for the session


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
    top = history.head(history.entries(store.paths))
    running = releases.manifest(store.paths, top.release) if top else None
    if running is None or not _runs(store, running):
        return ""
    places = drained.merged(record.places)
    where = ", ".join(membership.described(place.balancer, UNDRAIN) for place in places)
    tried = [(place, _failure(store, place, running.id)) for place in places]
    failed = [(place, failure) for place, failure in tried if failure]
    if not failed:
        drained.remove(store.paths)
        return f"this host was put back into its load balancer: {where}"
    with suppress(OSError):
        drained.write(store.paths, drained.of_places(record, [place for place, _ in failed]))
    place, failure = failed[0]
    where = membership.described(place.balancer, UNDRAIN)
    return f"this host is still out of its load balancer ({where}): {failure}"


def _failure(store: Store, place: Place, running: str) -> str:
    """Undrain in one load balancer; return why every way has failed, "" if one has not."""
    found = ""
    for way in membership.ways_back(store.paths, place, running, (running,)):
        of = Run(store, lambda _: None, way, UNDRAIN)
        try:
            membership.undrain(of, _shortened(way.balancer or place.balancer), patient=False)
        except Refused as refused:
            said = refused.failure.evidence.strip().splitlines()[-1:]
            found = ": ".join((refused.failure.what, *said))
        else:
            return ""
    return found


def _shortened(balancer: LoadBalancer) -> LoadBalancer:
    """Return it with a command that does not hold up the session for long."""
    hook = balancer.undrain
    short = replace(hook, timeout=min(hook.timeout, COMMAND_TIMEOUT)) if hook else None
    return replace(balancer, undrain=short)


def _runs(store: Store, release: Manifest) -> bool:
    views = store.host.show([unit.name for unit in release.units if unit.start])
    return all(view.is_active for view in views.values())

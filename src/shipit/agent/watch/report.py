"""Return what a host's watch reports of the committed release, for status. Changes nothing."""

import os
from typing import Mapping, Optional, Sequence

from ..protocol.answers import BY_WATCH, Result, WatchState
from ..records import history, releases, watches
from ..records.history import Entry
from ..records.watches import Findings
from ..transaction.store import Store
from .due import due, has_begun

# How a rollback ended that has not ended the watch: the release is the committed one still.
ENDS: Mapping[str, str] = {
    Result.ROLLED_BACK: "has failed, and this release was started again",
    Result.DISCARDED: "was given up before its switch",
    Result.STUCK: "has failed, and the host is stuck",
}


def state(store: Store, attempts: Sequence[Entry]) -> Optional[WatchState]:
    """Return what is known; None for a release that is not watched, and was not rolled back to."""
    paths, top = store.paths, history.head(attempts)
    if top is None:
        return None
    left = f"{top.previous}: {top.reason}" if top.who == BY_WATCH else ""
    of, found = watches.load(paths), releases.manifest(paths, top.release)
    if of is None or of.txn != top.txn or found is None or found.watch is None:
        return WatchState(top.release, left=left) if left else None
    known, open_ = watches.findings(paths, of.txn), store.load()
    running = open_.txn if open_ else ""
    left_to_do = due(
        of,
        known,
        found.watch,
        boot=store.host.boot_id(),
        now=store.host.wall(),
        has_begun=has_begun(known, attempts, running),
    )
    return WatchState(
        top.release,
        until=history.utc(left_to_do.until),
        ended=known.ended,
        unit=os.path.basename(paths.watch_unit),
        checked=not left_to_do.check,
        runs=not left_to_do.is_any or _is_up(store),
        found=known.found,
        done=done(known, attempts, running, is_due=left_to_do.rollback),
        left=left,
    )


def _is_up(store: Store) -> bool:
    name = os.path.basename(store.paths.watch_unit)
    return store.host.show([name])[name].is_up


def done(known: Findings, attempts: Sequence[Entry], running: str, *, is_due: bool) -> str:
    """Return what was done about a failure. Pure.

    `running`: the open transaction. `is_due`: whether the release is to be rolled back.
    """
    to = known.target or "the release before it"
    if known.found is None:
        return ""
    if known.why_not:
        return f"it is not rolled back: {known.why_not}"
    if known.rollback and (how := history.outcome_of(attempts, known.rollback)):
        return f"the rollback to {to} {ENDS.get(how, 'has ended')}: see shipit releases"
    if known.rollback and known.rollback == running:
        return f"it is being rolled back to {to}"
    return f"it will be rolled back to {to}" if is_due else "it is only reported"

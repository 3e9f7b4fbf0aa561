"""Return what a host's watch reports of the committed release, for status. Changes nothing."""

import os
from typing import Mapping, Optional, Sequence

from ..protocol.answers import BY_WATCH, Result, WatchState
from ..records import history, releases, watches
from ..records.history import Entry
from ..records.watches import Findings
from ..transaction.store import Store

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
    end, checked = of.began + found.watch.seconds, store.host.boot_id() in (of.boot, known.boot)
    is_due = store.host.wall() < end or not checked
    return WatchState(
        top.release,
        until=history.utc(end),
        checked=checked,
        runs=not is_due or _is_up(store),
        found=known.found,
        done=done(known, attempts, open_.txn if open_ else ""),
        left=left,
    )


def _is_up(store: Store) -> bool:
    name = os.path.basename(store.paths.watch_unit)
    return store.host.show([name])[name].is_up


def done(known: Findings, attempts: Sequence[Entry], running: str) -> str:
    """Return what was done about a failure; `running` is the open transaction. Pure."""
    if known.found is None:
        return ""
    if known.why_not:
        return f"it is not rolled back: {known.why_not}"
    if not known.rollback:
        return "it is only reported"
    if how := history.outcome_of(attempts, known.rollback):
        return f"the rollback to {known.target} {ENDS.get(how, 'has ended')}: see shipit releases"
    when = "is being" if known.rollback == running else "will be"
    return f"it {when} rolled back to {known.target}"

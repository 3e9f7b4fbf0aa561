"""Return a host's history for display: its releases, and every attempt. Changes nothing."""

import os
from typing import Dict, List, Sequence, Tuple

from ..protocol.answers import AttemptLine, ReleaseLine, Result
from ..protocol.codec import parse
from ..records import history, releases
from ..records.history import Entry
from ..system.paths import Paths

MOST_ATTEMPTS = 500  # reported at most; the history keeps all
FAILURE_KEPT = 500  # characters of why an attempt failed


def release_lines(paths: Paths, attempts: Sequence[Entry]) -> Tuple[ReleaseLine, ...]:
    """Return one line per release, with its last outcome, the newest last."""
    last: Dict[str, Entry] = {}
    commits: Dict[str, List[str]] = {}
    for entry in attempts:
        if entry.outcome == Result.COMMITTED:
            commits.setdefault(entry.release, []).append(entry.txn)
        before = last.get(entry.release)
        if before and before.outcome != Result.DISCARDED and entry.outcome == Result.DISCARDED:
            continue  # never switched to: no verdict on the release
        last.pop(entry.release, None)
        last[entry.release] = entry
    top = history.head(attempts)
    running = top.release if top else ""
    return tuple(
        _line(paths, entry, tuple(commits.get(entry.release, ())), running)
        for entry in last.values()
    )


def _line(paths: Paths, entry: Entry, commits: Tuple[str, ...], running: str) -> ReleaseLine:
    return ReleaseLine(
        entry.release,
        entry.version,
        entry.outcome,
        entry.at,
        entry.who,
        present=os.path.exists(paths.release(entry.release).manifest),
        running=entry.release == running,
        txn=entry.txn,
        commits=commits,
        bundle=_bundle(paths, entry.release),
    )


def _bundle(paths: Paths, release: str) -> str:
    """Return the digest of a release's wheels, "" if unknown. Parsing a whole manifest is slow."""
    try:
        text = releases.read_text(paths.release(release).manifest) or ""
        raw = parse(text.encode("utf-8", "surrogateescape"))
    except ValueError:
        return ""
    found = raw.get("bundle", "") if isinstance(raw, dict) else ""
    return found if isinstance(found, str) else ""


def attempt_lines(paths: Paths, attempts: Sequence[Entry]) -> Tuple[AttemptLine, ...]:
    """Return one line per attempt, with its final outcome, the newest last."""
    last: Dict[str, Entry] = {}
    for entry in attempts:
        last.pop(entry.txn, None)  # a stuck one may have been settled later
        last[entry.txn] = entry
    top, hooks = history.head(attempts), history.hooks(paths)
    return tuple(
        AttemptLine(
            entry.txn,
            entry.what,
            entry.release,
            entry.version,
            entry.outcome,
            entry.at,
            entry.who,
            entry.reason,
            entry.failure[:FAILURE_KEPT],
            present=os.path.exists(paths.release(entry.release).manifest),
            running=entry is top,
            signed_by=entry.signed_by,
            hooks=tuple(hooks.get(entry.txn, ())),
            overrides=entry.overrides,
        )
        for entry in list(last.values())[-MOST_ATTEMPTS:]
    )

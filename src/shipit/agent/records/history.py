"""The history of attempts and their outcomes: a file of JSON lines, append-only and fsynced.

It is authoritative for what is committed, and so for the target of a rollback. It is readable by
all users and contains no log text and no secret. Nothing is removed from it.
"""

import json
import time
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any, Dict, List, Optional, Sequence, Tuple

from ..protocol.answers import Result
from ..protocol.codec import from_json, to_json
from ..protocol.hooks import HookLine
from ..protocol.rules import generations
from ..protocol.values import dataclass
from ..system import files
from ..system.paths import Paths


@dataclass(frozen=True)
class Entry:
    """One attempt as it ended."""

    txn: str
    what: str  # deploy or rollback
    release: str
    version: str
    previous: str  # the previous release; "" for none
    outcome: str  # a Result; an unknown one comes from a newer version
    who: str
    at: str  # ISO 8601, UTC
    reason: str = ""
    failure: str = ""  # [code] what happened; "" for nothing
    manifest: str = ""  # sha256 of the manifest that was committed; "" in lines of earlier agents
    failure_code: str = ""
    bundle: str = ""  # digest of the release's wheels; "" if unknown
    overrides: Tuple[str, ...] = ()  # what it was allowed to override, such as a hold
    signed_by: str = ""  # as the host's file of allowed signers has the name; "" if it did not ask


def utc(seconds: float) -> str:
    """Return a time in the format of the history: `seconds` since the epoch as ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def append(paths: Paths, entry: Entry) -> None:
    """Append an entry once: a resumed transaction does not record the same outcome twice."""
    if any(old.txn == entry.txn and old.outcome == entry.outcome for old in entries(paths)):
        return
    files.make_directory(paths.root)
    files.append_line(paths.ledger, json.dumps(asdict(entry)).encode())


def append_hook(paths: Paths, txn: str, hook: HookLine) -> None:
    """Append how a hook ended. `entries` of every version skips such a line: it is no attempt."""
    files.make_directory(paths.root)
    line = {"txn": txn, **to_json(hook)}
    files.append_line(paths.ledger, json.dumps(line).encode())


def hooks(paths: Paths) -> Dict[str, List[HookLine]]:
    """Return the hooks that have ended, by their transaction, the oldest first."""
    found: Dict[str, List[HookLine]] = {}
    for line in files.read_json_lines(paths.ledger):
        with suppress(ValueError):  # an attempt
            hook = from_json(HookLine, line)
            found.setdefault(str(line.get("txn")), []).append(hook)
    return found


def entries(paths: Paths) -> List[Entry]:
    """Return all entries, the oldest first; skip a torn line.

    An unknown outcome is no commit, and no rollback returns to its release.
    """
    found = map(_entry, files.read_json_lines(paths.ledger))
    return [entry for entry in found if entry is not None]


def _entry(line: Any) -> Optional[Entry]:
    try:
        entry = from_json(Entry, line)
    except ValueError:
        return None
    with suppress(ValueError):
        entry = replace(entry, outcome=Result(entry.outcome))
    return entry


def head(history: Sequence[Entry]) -> Optional[Entry]:
    """Return the last committed attempt: its release is the one that should be running."""
    committed = [entry for entry in history if entry.outcome == Result.COMMITTED]
    return committed[-1] if committed else None


def outcome_of(history: Sequence[Entry], txn: str) -> str:
    """Return the final outcome of a transaction, "" if none is recorded."""
    outcomes = [entry.outcome for entry in history if entry.txn == txn]
    return outcomes[-1] if outcomes else ""


def manifest_digest(history: Sequence[Entry], release: str) -> str:
    """Return the digest of a release's manifest as last committed; "" if unknown."""
    digests = [e.manifest for e in history if (e.release, e.outcome) == (release, Result.COMMITTED)]
    return digests[-1] if digests else ""


def verified(history: Sequence[Entry]) -> List[str]:
    """Return the releases that were ever committed, the most recent commit last."""
    order: Dict[str, None] = {}
    for entry in history:
        if entry.outcome == Result.COMMITTED:
            order.pop(entry.release, None)
            order[entry.release] = None
    return list(order)


def failed(history: Sequence[Entry]) -> List[str]:
    """Return the releases whose last activation went wrong, the most recent last."""
    last: Dict[str, str] = {}
    for entry in history:
        if entry.outcome != Result.DISCARDED:  # never activated: no verdict on the release
            last.pop(entry.release, None)
            last[entry.release] = entry.outcome
    return [release for release, outcome in last.items() if outcome != Result.COMMITTED]


def behind(history: Sequence[Entry], running: str) -> List[str]:
    """Return the committed releases before the running one, the latest last.

    A rollback drops what came after its target, so two in a row return two releases back. Skips a
    release whose last activation failed, and earlier generations of a release.
    """
    line = line_of_succession(history)
    if running in line:
        line = line[: len(line) - line[::-1].index(running) - 1]
    unfit = {running, *failed(history)}
    same = generations.contents(running)
    fit = [each for each in line if each not in unfit and generations.contents(each) != same]
    return generations.last_of_each(fit)


def rollback_target(history: Sequence[Entry], running: str) -> Optional[str]:
    """Return the rollback target of this host alone."""
    return next(reversed(behind(history, running)), None)


def line_of_succession(history: Sequence[Entry]) -> List[str]:
    """Return what was committed, without what rollbacks have dropped."""
    line: List[str] = []
    for entry in history:
        if entry.outcome != Result.COMMITTED:
            continue
        if entry.what == "rollback" and entry.release in line:
            line = line[: len(line) - line[::-1].index(entry.release) - 1]
        line.append(entry.release)
    return line

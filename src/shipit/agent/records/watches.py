"""What a host watches of an app, and what its watch has found: two files, each of one writer.

A commit writes the first one, before it starts the watch. The watch writes the second one, which
counts for that commit alone: so neither overwrites what the other has written. Both are replaced
atomically and fsynced, and root alone can read them: the evidence of a failure is log text. An
unreadable one counts as none.
"""

import json
import os
from dataclasses import asdict
from typing import Iterator, Optional, Type, TypeVar

from ..protocol.answers import WatchFailure
from ..protocol.codec import from_json, parse
from ..protocol.values import dataclass
from ..system import files, folders
from ..system.paths import Paths

FORMAT = 1  # raised when an earlier agent would misread a file
MODE = 0o600
LIMIT = 1024 * 1024  # bytes
T = TypeVar("T")


@dataclass(frozen=True)
class Watched:
    """A commit whose release is watched."""

    txn: str
    release: str
    began: float  # seconds since the epoch
    boot: str  # in which it was committed
    agent: str  # the zip that watches
    is_rollback: bool  # the release was rolled back to


@dataclass(frozen=True)
class Findings:
    """What the watch of a commit has found, and does about it."""

    txn: str  # of the commit
    boot: str = ""  # the last one in which it was healthy, or has failed
    found: Optional[WatchFailure] = None  # the last failure that stayed
    rollback: str = ""  # the transaction that rolls back; written before it begins
    target: str = ""  # the release that it rolls back to
    why_not: str = ""  # why it is not rolled back
    failed_at: float = 0.0  # when `found` was written, seconds since the epoch
    ended: str = ""  # when the watch has come to its end since then; ISO 8601, UTC

    @property
    def is_ill(self) -> bool:
        """Whether the last failure is not known to be over."""
        return self.found is not None and not self.found.until


def load(paths: Paths) -> Optional[Watched]:
    """Return what is watched; None if nothing is."""
    return _read(paths.watch, Watched)


def findings(paths: Paths, txn: str) -> Findings:
    """Return what the watch of a commit has found so far."""
    found = _read(paths.watch_found, Findings)
    return found if found is not None and found.txn == txn else Findings(txn)


def _read(path: str, kind: Type[T]) -> Optional[T]:
    try:
        raw = parse(files.read_own(path, LIMIT))
        return from_json(kind, raw) if raw["format"] == FORMAT else None
    except (OSError, files.NotOurs, ValueError, KeyError, TypeError):
        return None


def begin(paths: Paths, watched: Watched) -> None:
    """Write down what is watched; a resumed commit has done so, and its watch goes on."""
    known = load(paths)
    if known is None or known.txn != watched.txn:
        folders.make(paths, os.path.dirname(paths.watch))
        _write(paths.watch, watched)


def note(paths: Paths, known: Findings) -> Findings:
    """Write down what was found, and return it."""
    _write(paths.watch_found, known)
    return known


def _write(path: str, record: object) -> None:
    content = json.dumps({"format": FORMAT, **asdict(record)})  # type: ignore[call-overload]
    files.write(path, content.encode(), MODE)


def end(paths: Paths) -> None:
    """Watch nothing from here on."""
    files.unlink(paths.watch)
    files.unlink(paths.watch_found)


def agents(paths: Paths) -> Iterator[str]:
    """Yield the names of the agents that watch an app of this host, or will at its next boot."""
    for entry in files.entries(os.path.dirname(paths.watch)):
        watched = _read(entry.path, Watched)
        if watched is not None:
            yield os.path.basename(watched.agent)

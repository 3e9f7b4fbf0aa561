"""What a host knows of its releases and finds of them, as it tells controllers. Values alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Tuple

from .fields import RELEASE, TXN_OR_NONE, WORD, one_of


@dataclass(frozen=True)
class ReleaseLine:
    """A release in a host's history."""

    id: str = field(metadata=RELEASE)
    version: str
    outcome: str = field(metadata=one_of("committed", "reverted", "failed", "stuck"))
    at: str  # ISO 8601, UTC
    who: str
    present: bool  # its directory is still there
    running: bool
    txn: str = field(default="", metadata=TXN_OR_NONE)  # of the attempt that ended so
    commits: Tuple[str, ...] = ()  # the transactions that have committed it
    bundle: str = ""  # digest of its wheels; "" where it is not there any more


@dataclass(frozen=True)
class AttemptLine:
    """An attempt that has ended: what was wanted, by whom and why, and what came of it."""

    txn: str = field(metadata=TXN_OR_NONE)
    what: str  # deploy, rollback or adopt
    release: str
    version: str
    outcome: str  # as of a ReleaseLine; another word is that of a newer version
    at: str  # ISO 8601, UTC
    who: str
    reason: str  # as given; "" for none
    failure: str  # [code] what happened; "" for nothing
    present: bool  # the release's directory is still there
    running: bool  # this is the attempt that brought what runs


# Of the codes below: what a directory made anew puts right, and nothing else does.
REBUILT = frozenset({
    "manifest-missing", "manifest-changed", "venv-missing", "interpreter-gone",
    "interpreter-changed", "package-missing", "file-changed", "file-missing", "file-added",
    "blob-damaged",
})  # fmt: skip
# What the same release, switched to once more, has as it should be.
SWITCHED = frozenset({
    "current-moved", "text-missing", "text-changed", "unit-missing", "unit-changed", "env-missing",
    "env-changed", "env-readable", "unit-not-running",
})  # fmt: skip
# What a deploy leaves alone: it is an administrator's.
OTHERS = frozenset({"adopted-moved", "drop-in", "unit-not-reloaded"})


@dataclass(frozen=True)
class Drift:
    """One thing that is not as the release that runs has it."""

    code: str = field(metadata=WORD)  # which kind it is, one of the above
    path: str  # of the file or directory; the name of a unit that does not run
    what: str  # a sentence that names it

"""A host's Pythons, history, drift and watch, as reported to controllers. Values only."""

from __future__ import annotations

from dataclasses import field
from enum import Enum
from typing import Mapping, Optional, Tuple

from .fields import COUNT, PATH, PYTHON, RELEASE, TXN_OR_NONE, WORD
from .hooks import HookLine  # noqa: TC001 - type hints are read at run time
from .values import dataclass

BY_WATCH = "the host's watch"  # who rolls back by itself; an operator's name has an @


class Result(str, Enum):
    """How a transaction ended on a host: in messages, the history and JSON alike."""

    COMMITTED = "committed"
    ROLLED_BACK = "rolled_back"  # the previous release runs again
    DISCARDED = "discarded"  # before the switch: nothing had changed
    STUCK = "stuck"  # needs an operator

    @classmethod
    def _missing_(cls, value: object) -> Optional[Result]:
        return _EARLIER.get(str(value))


# How earlier versions spelled it.
_EARLIER: Mapping[str, Result] = {"reverted": Result.ROLLED_BACK, "failed": Result.DISCARDED}


@dataclass(frozen=True)
class Interpreter:
    """A Python on the host."""

    path: str = field(metadata=PATH)
    version: str = field(metadata=PYTHON)  # 3.11.2
    implementation: str  # cpython
    machine: str  # x86_64


@dataclass(frozen=True)
class ReleaseLine:
    """A release in a host's history."""

    id: str = field(metadata=RELEASE)
    version: str
    outcome: str  # a Result; an unknown one comes from a newer version
    at: str  # ISO 8601, UTC
    who: str
    present: bool  # its directory still exists
    running: bool
    txn: str = field(default="", metadata=TXN_OR_NONE)  # of the attempt with that outcome
    commits: Tuple[str, ...] = ()  # the transactions that have committed it
    bundle: str = ""  # digest of its wheels; "" if it was removed


@dataclass(frozen=True)
class AttemptLine:
    """An attempt that has ended: what, by whom, why, and its outcome."""

    txn: str = field(metadata=TXN_OR_NONE)
    what: str  # deploy, rollback or adopt
    release: str
    version: str
    outcome: str  # as in ReleaseLine
    at: str  # ISO 8601, UTC
    who: str
    reason: str  # "" for none
    failure: str  # [code] what happened; "" for nothing
    present: bool  # the release's directory still exists
    running: bool  # this attempt deployed the running release
    signed_by: str = ""  # who has signed the release, where the host asks
    hooks: Tuple[HookLine, ...] = ()  # that this attempt has run
    overrides: Tuple[str, ...] = ()  # such as a hold


@dataclass(frozen=True)
class UnitState:
    name: str
    active: str  # active/running as systemd shows it
    since: str
    main_pid: int
    restarts: int = field(metadata=COUNT)


# The codes of drift that only a new directory fixes.
REBUILT = frozenset({
    "manifest-missing", "manifest-changed", "venv-missing", "interpreter-gone",
    "interpreter-changed", "package-missing", "file-changed", "file-missing", "file-added",
    "blob-damaged",
})  # fmt: skip
# The codes of drift that another switch to the same release fixes.
SWITCHED = frozenset({
    "current-moved", "text-missing", "text-changed", "unit-missing", "unit-changed", "env-missing",
    "env-changed", "env-readable", "unit-not-running",
})  # fmt: skip
# The codes of drift that a deploy leaves alone: an administrator made the change.
OTHERS = frozenset({"adopted-moved", "drop-in", "unit-not-reloaded"})


@dataclass(frozen=True)
class Drift:
    """One difference from the running release."""

    code: str = field(metadata=WORD)  # one of the codes above
    path: str  # of the file or directory; the name of a unit that does not run
    what: str  # a sentence that names it


@dataclass(frozen=True)
class WatchFailure:
    """A failure that stayed. Times are ISO 8601, UTC.

    Attributes:
        since: when the first of the bad looks began.
        until: when it was healthy again; "" while it is not known to be.
        at_boot: whether it has not been healthy since a boot.
    """

    code: str
    what: str
    hint: str
    evidence: str
    since: str
    until: str = ""
    at_boot: bool = False


@dataclass(frozen=True)
class WatchState:
    """What a host's watch reports of the committed release.

    Attributes:
        until: when it ends, ISO 8601, UTC; "" where the release is not watched.
        ended: when it has come to its end; "" before, and for an earlier version's.
        unit: that watches, on the host.
        checked: whether it was healthy, or has failed, since the host has booted.
        runs: whether the watch is up, or has come to its end.
        found: the last failure that stayed.
        done: what the host has done about it.
        left: the release that the watch has rolled back, and why; "" for none.
    """

    release: str = field(metadata=RELEASE)
    until: str = ""
    checked: bool = True
    runs: bool = True
    found: Optional[WatchFailure] = None
    done: str = ""
    left: str = ""
    ended: str = ""
    unit: str = ""

    @property
    def needs_operator(self) -> bool:
        """Whether the release is not healthy or was rolled back, or nobody watches it."""
        return bool(self.left) or self.is_ill or not self.runs

    @property
    def is_ill(self) -> bool:
        """Whether the last failure is not known to be over."""
        return self.found is not None and not self.found.until

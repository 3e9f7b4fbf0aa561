"""What operators say of an app's deploys, and the holds that follow from it. Values only."""

from __future__ import annotations

from dataclasses import field
from typing import Optional, Tuple

from .fields import COUNT, RELEASE_OR_NONE, TXN_OR_NONE, UTC, matching, one_of
from .manifest import Manifest  # noqa: TC001 - type hints are read at run time
from .rules import generations
from .values import dataclass

_UTC_OR_NONE = matching(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)?")


# What is said of the run that is there now. `canary` is its controller's: its canary is held.
CANARY, PROMOTE, ABORT = "canary", "promote", "abort"
OF_RUN = ("pause", "resume", CANARY, PROMOTE, ABORT)


@dataclass(frozen=True)
class Control:
    """What an operator says: a request, and a line of the host's record. Answer: Controls."""

    what: str = field(metadata=one_of("hold", "unhold", *OF_RUN))
    who: str  # user@machine
    at: str = field(metadata=UTC)
    why: str = ""
    until: str = field(default="", metadata=_UTC_OR_NONE)  # "" for no end
    release: str = field(default="", metadata=RELEASE_OR_NONE)  # only this one; "" for all
    # what is said of a run: the one that it is about; of the host
    txn: str = field(default="", metadata=TXN_OR_NONE)
    after: int = field(default=0, metadata=COUNT)  # lines of the history before it: of the host


@dataclass(frozen=True)
class AskControls:
    """Ask what holds deploys, and what was said of the run. Answer: Controls."""


@dataclass(frozen=True)
class Hold:
    """Why deploys of an app, or of one release, are refused on a host."""

    who: str
    at: str  # ISO 8601, UTC
    why: str
    until: str = ""  # ISO 8601, UTC; "" for no end
    release: str = ""  # the id without its generation; "" for every release
    version: str = ""
    bundle: str = ""  # digest of its wheels; "" if unknown

    def applies(self, wanted: Manifest) -> bool:
        """Whether it is about this release: one of its contents, or of its version and wheels."""
        same_wheels = bool(self.bundle) and self.bundle == wanted.bundle
        return self.release in ("", generations.contents(wanted.id)) or (
            same_wheels and self.version == wanted.version
        )


@dataclass(frozen=True)
class Controls:
    """What holds deploys on a host now, and what was said of the run that is there.

    Attributes:
        run: the transaction that runs; "" for none.
        pause: who has paused it.
        canary: that its canary is held, or who has promoted or aborted it.
        counts: whether what was just said has an effect on this host.
    """

    holds: Tuple[Hold, ...]
    run: str = field(default="", metadata=TXN_OR_NONE)
    pause: Optional[Control] = None
    canary: Optional[Control] = None
    counts: bool = False

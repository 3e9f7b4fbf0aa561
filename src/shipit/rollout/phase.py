"""The phases of a host in a rollout, and the result of a step on it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from traceback import format_exception
from typing import TYPE_CHECKING, Protocol

from shipit.errors import HostError
from shipit.events import Outcome, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shipit.agent.protocol.controls import AskControls, Control, Controls


class Phase(Enum):
    """The phase of a host in the rollout."""

    READY = "ready"  # nothing done yet
    STAGED = "staged"
    HEALTHY = "healthy"  # switched, gate passed, not committed
    COMMITTED = "committed"
    UNCHANGED = "unchanged"
    DISCARDED = "discarded"  # refused, failed or discarded before the switch
    UNREACHABLE = "unreachable"
    ROLLED_BACK = "rolled_back"
    UNKNOWN = "unknown"
    STUCK = "stuck"

    @property
    def has_failed(self) -> bool:
        """Whether it counts against the failure budget; unreachable hosts are counted apart."""
        return self in (Phase.DISCARDED, Phase.ROLLED_BACK, Phase.UNKNOWN, Phase.STUCK)

    @property
    def outcome(self) -> Outcome:
        """The reported outcome of a host that ended in this phase."""
        return OUTCOMES.get(self) or Outcome(self.value)


OUTCOMES: Mapping[Phase, Outcome] = {  # of phases that have no outcome of their name
    Phase.READY: Outcome.DISCARDED,
    Phase.STAGED: Outcome.DISCARDED,
    Phase.HEALTHY: Outcome.UNKNOWN,
}


@dataclass(frozen=True)
class Transition:
    """The state of a host after a step."""

    phase: Phase
    release: str = ""
    problem: Problem | None = None


class HostControl(Protocol):
    """One host's part in a rollout; raises HostError. `assignment.Assignment` is the real one."""

    @property
    def name(self) -> str: ...
    def stage(self) -> Transition: ...
    def switch(self) -> Transition: ...
    def commit(self) -> Transition: ...
    def roll_back(self) -> Transition: ...
    def paused(self) -> str:
        """Return who has paused the run on a staged host, and why; "" if it goes on."""

    def tell(self, said: Control | AskControls) -> Controls | Transition:
        """Say something to a healthy host; return what stands there, or how it has ended."""

    def interrupt(self) -> None:
        """End a running step soon: called from another thread, at most once per step."""


def problem_of(error: HostError, host: str) -> Problem:
    return Problem(host, error.code, error.what, error.step, error.hint, error.evidence)


def bug_of(error: Exception, host: str) -> HostError:
    """Return a bug in shipit that one host's answer has triggered, as that host's failure."""
    return HostError(
        "controller-bug",
        f"shipit failed on this host's answer: {error!r}",
        host=host,
        hint="this is a bug in shipit: report it with the lines above",
        evidence="".join(format_exception(error)),
    )

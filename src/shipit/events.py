"""The typed events of a run. The rollout never prints: it emits events, and outputs show them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from enum import Enum

from shipit.agent.protocol.values import dataclass


class Outcome(Enum):
    """How a host ended."""

    COMMITTED = "committed"  # runs the wanted release
    UNCHANGED = "unchanged"  # already ran the wanted release
    DISCARDED = "discarded"  # not switched; still runs its previous release
    ROLLED_BACK = "rolled_back"  # was switched and rolled back
    UNREACHABLE = "unreachable"  # no session; not switched
    UNKNOWN = "unknown"  # lost after a switch: it rolls back when its lease ends
    STUCK = "stuck"  # needs an operator

    def __str__(self) -> str:
        """Return it for a sentence or a table; JSON has the value."""
        return self.value.replace("_", " ")

    @property
    def is_wanted(self) -> bool:
        return self in (Outcome.COMMITTED, Outcome.UNCHANGED)

    @property
    def needs_operator(self) -> bool:
        return self in (Outcome.UNKNOWN, Outcome.STUCK)


@dataclass(frozen=True)
class Problem:
    """Why a host failed."""

    host: str
    code: str
    what: str
    step: str = ""
    hint: str = ""
    evidence: str = ""


@dataclass(frozen=True)
class RunBegan:
    what: str  # deploy, rollback, plan ...
    app: str
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class StepBegan:
    host: str
    step: str
    detail: str = ""


@dataclass(frozen=True)
class StepEnded:
    host: str
    step: str
    seconds: float
    ok: bool


@dataclass(frozen=True)
class Sent:
    """Progress of an upload to a host, in bytes."""

    host: str
    done: int
    total: int


@dataclass(frozen=True)
class Pulled(Sent):
    """Progress of a host that fetches its wheels itself."""


@dataclass(frozen=True)
class Fetching:
    """Progress of a download to this machine, in bytes; a total of 0 is unknown.

    The last one of a download says that it is over, also after a failure.
    """

    what: str  # fetching 154 wheels
    done: int = 0
    total: int = 0
    is_over: bool = False


@dataclass(frozen=True)
class Probed:
    host: str
    check: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class HookOutput:
    """A line that a hook has printed, on a host or on the controller."""

    host: str
    hook: str
    text: str


@dataclass(frozen=True)
class BatchBegan:
    number: int  # from 1
    of: int
    hosts: tuple[str, ...]
    act: str = "switch"  # or roll_back


@dataclass(frozen=True)
class CanaryHeld:
    hosts: tuple[str, ...]
    until: str  # at least; ISO 8601, UTC
    seconds: float
    how: str  # it is promoted or aborted


@dataclass(frozen=True)
class CanaryChecked:
    """The outcome of a check of a canary has changed."""

    check: str
    outcome: str  # pass, fail, inconclusive or error
    detail: str


@dataclass(frozen=True)
class CanaryEnded:
    how: str  # goes on, stops or rolls back
    why: str


@dataclass(frozen=True)
class Noted:
    """A note for the operator; host is empty when it is about the run."""

    text: str
    host: str = ""


@dataclass(frozen=True)
class HostFailed:
    problem: Problem


@dataclass(frozen=True)
class HostEnded:
    host: str
    outcome: Outcome
    release: str  # the release that runs there now; "" for none or unknown
    seconds: float


@dataclass(frozen=True)
class HostResult:
    outcome: Outcome
    release: str  # the one that runs there now
    problem: Problem | None = None
    because: str = ""  # why it was rolled back, though it did not fail


@dataclass(frozen=True)
class RunEnded:
    """The end of a run; `exit_status` is the contract of docs/cli.md."""

    what: str
    app: str
    exit_status: int
    hosts: dict[str, HostResult] = field(default_factory=dict)
    seconds: float = 0.0
    advice: str = ""  # the command to run next
    mixed_seconds: float = 0.0  # between the first switch and the last end of several batches


@dataclass(frozen=True)
class DeploymentEnd:
    """How one deployment of a playbook ended; a status of None means that it was not begun."""

    app: str
    exit_status: int | None


@dataclass(frozen=True)
class PlaybookEnded:
    """The end of a run of several deployments; those after a failed one are not begun."""

    what: str
    exit_status: int
    deployments: tuple[DeploymentEnd, ...]


@dataclass(frozen=True)
class SecretsKnown:
    """From now on every output passes its texts through `hide`, which replaces secrets by ***."""

    hide: Callable[[str], str] = field(repr=False)


Event = (
    RunBegan
    | SecretsKnown
    | StepBegan
    | StepEnded
    | Sent
    | Fetching
    | Probed
    | HookOutput
    | BatchBegan
    | CanaryHeld
    | CanaryChecked
    | CanaryEnded
    | Noted
    | HostFailed
    | HostEnded
    | RunEnded
    | PlaybookEnded
)
Emit = Callable[[Event], None]


def ignore(_event: Event) -> None:
    """Receive an event that nobody is shown."""

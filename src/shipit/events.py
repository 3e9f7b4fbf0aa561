"""The typed moments of a run. The algorithm never prints: it emits these; faces receive them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum


class Outcome(Enum):
    """How a host ended; each answers what a person asks first."""

    DEPLOYED = "deployed"  # runs the wanted release, committed
    UNCHANGED = "unchanged"  # ran it already; nothing was done
    UNTOUCHED = "untouched"  # still runs its old release; nothing was switched
    RETURNED = "returned"  # was switched, and is back on its old release
    UNREACHABLE = "unreachable"  # no session; nothing was switched
    UNKNOWN = "unknown"  # lost after a switch: the host's lease brings it back by itself
    STUCK = "stuck"  # needs a person

    @property
    def is_wanted(self) -> bool:
        return self in (Outcome.DEPLOYED, Outcome.UNCHANGED)

    @property
    def needs_a_person(self) -> bool:
        return self in (Outcome.UNKNOWN, Outcome.STUCK)


@dataclass(frozen=True)
class Problem:
    """Why a host failed, in the parts a person needs."""

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
    """Bytes on their way to a host."""

    host: str
    done: int
    total: int


@dataclass(frozen=True)
class Probed:
    host: str
    check: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class BatchBegan:
    number: int  # from 1
    of: int
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class Noted:
    """A sentence a person should read; host is empty when it is about the run."""

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
    release: str
    problem: Problem | None = None


@dataclass(frozen=True)
class RunEnded:
    """The end of a run; `exit_status` is the contract of docs/cli.md."""

    what: str
    app: str
    exit_status: int
    hosts: dict[str, HostResult] = field(default_factory=dict)
    seconds: float = 0.0
    advice: str = ""  # the command to run next


@dataclass(frozen=True)
class DeploymentEnd:
    """How one deployment of a playbook ended; a status of None: it was not begun."""

    app: str
    exit_status: int | None


@dataclass(frozen=True)
class PlaybookEnded:
    """The end of a run of several deployments; those after one that failed are not begun."""

    what: str
    exit_status: int
    deployments: tuple[DeploymentEnd, ...]


@dataclass(frozen=True)
class SecretsKnown:
    """From now on no face shows what `hide` hides: it returns a text with *** in their places."""

    hide: Callable[[str], str] = field(repr=False)


Event = (
    RunBegan
    | SecretsKnown
    | StepBegan
    | StepEnded
    | Sent
    | Probed
    | BatchBegan
    | Noted
    | HostFailed
    | HostEnded
    | RunEnded
    | PlaybookEnded
)
Emit = Callable[[Event], None]

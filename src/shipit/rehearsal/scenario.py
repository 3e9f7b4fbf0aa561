"""The steps of a rehearsal: what each changes in the playbook, and how it must end.

Pure: the playbook's file is never written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from shipit.errors import InputError, Mistake
from shipit.playbook.parsers import InvalidValueError, duration

VARIABLE = "SHIPIT_REHEARSAL"
FAILING = "/bin/false"  # a health check that exists on every host and always fails
LEASE = "10s"  # short: nothing is gained by waiting for an interrupted deploy
QUICKLY = "5s"  # the deadline of a gate that can't pass
LASTING = 30.0  # seconds of a gate: enough for a fault and for the lease to expire
PATIENT = "10m"  # if the deadline is a template; the fault ends the gate anyway
KILLED = -9  # the exit status of a process that was killed, as subprocess has it
FOUND_OUT = (4, 3)  # after the switch, or before it if the trial already fails

Values = Mapping[str, object]
Change = Callable[[Values], Values]
Releases = Mapping[tuple[str, str], str]  # what runs, by app and host


def as_written(values: Values) -> Values:
    return values


def with_a_gate_that_fails(values: Values, deadline: object = QUICKLY) -> Values:
    """Return the deployment with one more health check, which can't pass.

    Its own checks are kept if they are a list, and dropped if they are a template.
    """
    written = values.get("health")
    health = written if isinstance(written, Mapping) else {"checks": written}
    checks = health.get("checks")
    own = checks if isinstance(checks, list) else []
    failing = {"deadline": deadline, "min_healthy": "1s", "checks": [*own, {"command": FAILING}]}
    return {**values, "health": {**health, **failing}}


def with_a_gate_that_lasts(values: Values) -> Values:
    """Return the deployment with a gate that lasts long enough for a fault.

    The controller must confirm it, and the lease expires before the gate ends.
    """
    written = values.get("health")
    deadline = written.get("deadline", "1m") if isinstance(written, Mapping) else "1m"
    try:
        if duration(deadline) < LASTING:
            deadline = f"{LASTING:g}s"
    except InvalidValueError:  # a template: its value depends on the host
        deadline = PATIENT
    changed = with_a_gate_that_fails(values, deadline)
    return {**changed, "confirm": "controller", "confirm_timeout": LEASE}


def with_one_more_variable(values: Values) -> Values:
    """Return the deployment with one more environment variable.

    Raises:
        InputError: every `env` is a template, so none can be added.
    """
    env = values.get("env", {})
    if isinstance(env, Mapping):
        return {**values, "env": {**env, VARIABLE: "1"}}
    written = values.get("services")
    services = written if isinstance(written, Mapping) else {}
    for name, service in services.items():
        if isinstance(service, Mapping) and isinstance(own := service.get("env", {}), Mapping):
            changed = {**service, "env": {**own, VARIABLE: "1"}}
            return {**values, "services": {**services, name: changed}}
    what = "a rehearsal adds a variable to `env` and can't, because it is a template"
    raise InputError(Mistake("rehearsal-env", what, hint="write `env` as a mapping"))


class Runs(Enum):
    """What must run on a host after a step."""

    ANY = "any release"
    FIRST = "the release of the first step"
    OTHER = "another release than that of the first step"


class Fault(Enum):
    """What may happen during the gate."""

    CONTROLLER = "the controller is killed"
    AGENT = "a host's agent is killed"
    CABLE = "a host's cable is cut"
    REBOOT = "a host reboots"
    POWER = "a host's power is cut"

    @property
    def is_left_to_the_lease(self) -> bool:
        """Whether only the expired lease makes a host roll back."""
        return self in (Fault.CONTROLLER, Fault.CABLE)

    @property
    def ends(self) -> tuple[int, ...]:
        """The expected exit statuses of the controller: killed, or a failed deploy."""
        return (KILLED,) if self is Fault.CONTROLLER else (4, 5)


@dataclass(frozen=True)
class Step:
    """One step of a rehearsal.

    Attributes:
        change: how it changes the playbook before it deploys; None for a rollback.
        ends: the expected exit statuses.
        runs: what must run on every host afterwards.
        fault: what is injected during its gate.
    """

    title: str
    change: Change | None
    ends: tuple[int, ...]
    runs: Runs
    fault: Fault | None = None


STEPS = (
    Step("deploy the release", as_written, (0,), Runs.ANY),
    Step("deploy a release whose gate fails", with_a_gate_that_fails, FOUND_OUT, Runs.FIRST),
    Step("deploy another good release", with_one_more_variable, (0,), Runs.OTHER),
    Step("roll back", None, (0,), Runs.FIRST),
)
FAULTS = tuple(
    Step(f"in the gate {fault.value}", with_a_gate_that_lasts, fault.ends, Runs.FIRST, fault)
    for fault in Fault
)


@dataclass(frozen=True)
class Observation:
    """What was observed on one host after a step.

    Attributes:
        release: the running release; empty for none.
        answered: how many of its health checks passed when asked from outside.
        wrong: the problems, a sentence each.
    """

    release: str
    answered: int = 0
    wrong: tuple[str, ...] = ()


@dataclass(frozen=True)
class Served:
    """How one host answered requests during a step; `slowest` is in seconds."""

    asked: int
    dropped: int
    slowest: float


@dataclass(frozen=True)
class Bar:
    """One transaction step on one host; `began` in seconds since the rehearsal's step began."""

    host: str
    step: str
    began: float
    seconds: float
    ok: bool = True


@dataclass(frozen=True)
class StepResult:
    """The result of one step; `wrong` is empty if it ended as expected.

    Attributes:
        settled: the seconds from the fault until every host had settled it.
        served: the requests by app and host, where there were any.
        bars: the timeline of each host.
    """

    step: Step
    seconds: float
    wrong: tuple[str, ...] = ()
    observations: Mapping[tuple[str, str], Observation] = field(default_factory=dict)
    settled: float | None = None
    served: Mapping[tuple[str, str], Served] = field(default_factory=dict)
    bars: tuple[Bar, ...] = ()

    @property
    def releases(self) -> dict[tuple[str, str], str]:
        return {spot: sight.release for spot, sight in self.observations.items()}


def wrong_with(
    step: Step,
    statuses: list[int],
    observations: Mapping[tuple[str, str], Observation],
    first: Releases,
) -> tuple[str, ...]:
    """Return the problems after a step; `first` holds the releases of the first step."""
    ends = " or ".join(map(_status, step.ends))
    wrong = [
        f"it ended with exit status {_status(status)}; expected {ends}"
        for status in statuses
        if status not in step.ends
    ]
    for (app, host), sight in observations.items():
        wanted = first.get((app, host), "")
        if not sight.release:
            wrong.append(f"{host}: nothing of {app} runs; expected {step.runs.value}")
        elif (step.runs is Runs.FIRST and sight.release != wanted) or (
            step.runs is Runs.OTHER and sight.release == wanted
        ):
            wrong.append(f"{host}: {sight.release} runs; expected {step.runs.value} ({wanted})")
        wrong += [f"{host}: {each}" for each in sight.wrong]
    return tuple(wrong)


def _status(status: int) -> str:
    return f"{status} (killed)" if status == KILLED else str(status)

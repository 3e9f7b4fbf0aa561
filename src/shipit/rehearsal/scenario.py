"""Know the acts of a rehearsal: what each changes in the playbook, and how each has to end.

Pure: the playbook's file is never written to, and nothing is played here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from shipit.errors import InputError, Mistake
from shipit.playbook.parsers import InvalidValueError, duration

VARIABLE = "SHIPIT_REHEARSAL"
FAILING = "/bin/false"  # as a health check: on every host, and never good
LEASE = "10s"  # a deploy that is broken off need not be waited for any longer
QUICKLY = {"deadline": "5s", "min_healthy": "1s"}  # a gate that can't pass needs no patience
LASTING = 30.0  # seconds: in a gate there is time for a fault, and for the lease to run out
PATIENT = "10m"  # where a template says how long: longer than any, as the fault ends the gate
KILLED = -9  # the exit status of a process that was killed, as subprocess has it
FOUND_OUT = (4, 3)  # after the switch, or before it: on a slow machine, in its trial

Values = Mapping[str, object]
Change = Callable[[Values], Values]
Releases = Mapping[tuple[str, str], str]  # what runs, by app and host


def as_written(values: Values) -> Values:
    return values


def with_a_gate_that_fails(values: Values) -> Values:
    """Return the same deployment with one more health check, which can't pass.

    Its own checks stay where they are a list; their template is left out where they are one.
    """
    written = values.get("health")
    health = dict(written) if isinstance(written, Mapping) else {"checks": written}
    checks = health.get("checks")
    own = checks if isinstance(checks, list) else []
    return {**values, "health": {**health, **QUICKLY, "checks": [*own, {"command": FAILING}]}}


def with_a_gate_that_lasts(values: Values) -> Values:
    """Return the same deployment with a gate in which there is time for a fault.

    It is asked for by a controller, and by a lease that runs out before the gate does.
    """
    written = values.get("health")
    own = written.get("deadline", "1m") if isinstance(written, Mapping) else "1m"
    changed = with_a_gate_that_fails(values)
    health = changed["health"]
    lasting = {**health, "deadline": _lasting(own)} if isinstance(health, Mapping) else health
    return {**changed, "health": lasting, "confirm": "controller", "confirm_timeout": LEASE}


def _lasting(deadline: object) -> object:
    """Return a deadline that leaves time for a fault: the own one, where that is not shorter."""
    try:
        is_short = duration(deadline) < LASTING
    except InvalidValueError:  # a template: only its host's variables tell
        return PATIENT
    return f"{LASTING:g}s" if is_short else deadline


def with_one_more_variable(values: Values) -> Values:
    """Return the same deployment with one more environment variable.

    Raises:
        InputError: there is no place for one, as everything is a template.
    """
    env = values.get("env", {})
    if isinstance(env, Mapping):
        return {**values, "env": {**env, VARIABLE: "1"}}
    written = values.get("services")
    services = dict(written) if isinstance(written, Mapping) else {}
    for name, service in services.items():
        if isinstance(service, Mapping) and isinstance(own := service.get("env", {}), Mapping):
            changed = {**service, "env": {**own, VARIABLE: "1"}}
            return {**values, "services": {**services, name: changed}}
    what = "a rehearsal adds a variable to `env`, and can't: it is one template"
    raise InputError(Mistake("rehearsal-env", what, hint="write `env` as a mapping"))


class Runs(Enum):
    """What has to run on a host after an act."""

    ANY = "any release"
    FIRST = "the release of the first act"
    OTHER = "another release than that of the first act"


class Fault(Enum):
    """What may happen in the gate."""

    CONTROLLER = "the controller is killed"
    AGENT = "a host's agent is killed"
    CABLE = "a host's cable is cut"
    REBOOT = "a host reboots"
    POWER = "a host's power is cut"

    @property
    def is_left_to_the_lease(self) -> bool:
        """Whether a host learns by its lease alone that it has to go back."""
        return self in (Fault.CONTROLLER, Fault.CABLE)

    @property
    def ends(self) -> tuple[int, ...]:
        """The exit statuses that a controller may have: it is killed, or understands."""
        return (KILLED,) if self is Fault.CONTROLLER else (4, 5)


@dataclass(frozen=True)
class Step:
    """One act.

    Attributes:
        change: what it changes before it deploys; None is a rollback.
        ends: the exit statuses that it may have.
        runs: what must run on every host afterwards.
        fault: what happens in its gate.
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
    """One host, looked at after an act.

    Attributes:
        release: what runs there; empty for nothing.
        answered: how many of its health checks were asked from outside, and answered well.
        wrong: each a sentence.
    """

    release: str
    answered: int = 0
    wrong: tuple[str, ...] = ()


@dataclass(frozen=True)
class Served:
    """How one host served a customer who asked all the time; the slowest answer in seconds."""

    asked: int
    dropped: int
    slowest: float


@dataclass(frozen=True)
class Bar:
    """One step on one host; `began` counts in seconds from the beginning of its act."""

    host: str
    step: str
    began: float
    seconds: float
    ok: bool = True


@dataclass(frozen=True)
class StepResult:
    """An act as it was played; `wrong` is empty if it ended as it has to.

    Attributes:
        settled: the seconds from the fault until every host had settled it.
        served: by app and host, where somebody could ask.
        bars: what each host did when.
    """

    act: Step
    seconds: float
    wrong: tuple[str, ...] = ()
    sights: Mapping[tuple[str, str], Observation] = field(default_factory=dict)
    settled: float | None = None
    served: Mapping[tuple[str, str], Served] = field(default_factory=dict)
    bars: tuple[Bar, ...] = ()

    @property
    def releases(self) -> dict[tuple[str, str], str]:
        return {spot: sight.release for spot, sight in self.sights.items()}


def wrong_with(
    act: Step, statuses: list[int], sights: Mapping[tuple[str, str], Observation], first: Releases
) -> tuple[str, ...]:
    """Return what is not as it has to be after an act; `first` is what ran after the first one."""
    ends = " or ".join(map(_status, act.ends))
    wrong = [
        f"it ended with exit status {_status(status)}, and {ends} was expected"
        for status in statuses
        if status not in act.ends
    ]
    for (app, host), sight in sights.items():
        wanted = first.get((app, host), "")
        if not sight.release:
            wrong.append(f"{host}: nothing of {app} runs; expected {act.runs.value}")
        elif (act.runs is Runs.FIRST and sight.release != wanted) or (
            act.runs is Runs.OTHER and sight.release == wanted
        ):
            wrong.append(f"{host}: {sight.release} runs; expected {act.runs.value} ({wanted})")
        wrong += [f"{host}: {each}" for each in sight.wrong]
    return tuple(wrong)


def _status(status: int) -> str:
    return f"{status} (killed)" if status == KILLED else str(status)

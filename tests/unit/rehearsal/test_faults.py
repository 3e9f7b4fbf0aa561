"""The controller of a rehearsal's fault: a process of its own. On machines: hosts/test_rehearse."""

from __future__ import annotations

import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from shipit.errors import InputError, Mistake
from shipit.events import (
    Event,
    HostFailed,
    Noted,
    Problem,
    RunBegan,
    SecretsKnown,
    StepBegan,
    StepEnded,
)
from shipit.lab.commands import LabError
from shipit.rehearsal import faults
from shipit.rehearsal.histories import Attempt
from shipit.rehearsal.scenario import Fault

if TYPE_CHECKING:
    import pytest

    from shipit.events import Emit
    from shipit.rehearsal.providers.base import Machines as Port

GATE = StepBegan("web", "check")


class Machines:
    """Machines that can't be reached at first and then have one open transaction."""

    def __init__(self) -> None:
        self.looks = 0
        self.repaired: list[str] = []

    def run(self, machine: str, *argv: str) -> Machines:
        if argv[0] == "test" and not self.looks:
            self.looks += 1
            raise LabError("machine-off", "it boots")
        self.looks += argv[0] == "test"
        return self

    @property
    def stdout(self) -> str:
        return ""  # an empty history

    @property
    def returncode(self) -> int:
        return int(self.looks > 2)

    def repair_cable(self, machine: str) -> None:
        self.repaired.append(machine)


class Writing(Machines):
    """Machines whose history has one more line each time it is read."""

    @property
    def stdout(self) -> str:
        self.lines += 1
        return f'{{"txn": "{self.lines}", "outcome": "rolled_back"}}'

    lines = 0


def site(machines: Machines) -> faults.Site:
    return faults.Site("app", "/srv/app", {"web": "m1"}, cast("Port", machines), patience=0.0)


def lasting(emit: Emit) -> int:
    emit(GATE)
    signal.pause()  # in the process that is killed
    return 0


def test_a_killed_controller_reports_nothing_more_and_the_recovery_is_timed() -> None:
    machines = Machines()
    events = list[Event]()
    outcome = faults.inject(Fault.CONTROLLER, lasting, site(machines), events.append)
    assert outcome.status < 0
    assert outcome.seconds is not None
    assert (machines.looks, machines.repaired) == (3, ["m1"])
    assert outcome.host == "web"
    assert events == [GATE, Noted("in the gate of web: now the controller is killed")]


def test_only_attempts_since_the_start_of_the_deploy_are_kept() -> None:
    outcome = faults.inject(Fault.CONTROLLER, lasting, site(Writing()), lambda _: None)
    assert outcome.attempts == {"web": Attempt("2", "rolled_back")}
    assert faults.inject(Fault.CONTROLLER, lasting, site(Machines()), lambda _: None).attempts == {}


def test_a_deploy_that_fails_before_its_gate_is_reported_with_its_status_and_reason() -> None:
    failed = HostFailed(Problem("web", "no-python", "there is no Python 3.8", "connect"))

    def refused(emit: Emit) -> int:
        emit(StepBegan("web", "build"))
        emit(failed)
        return 3

    events = list[Event]()
    target = site(Machines())
    outcome = faults.inject(Fault.POWER, refused, target, events.append)
    assert (outcome.status, outcome.seconds, outcome.host) == (3, None, "")
    assert events == [StepBegan("web", "build"), failed]
    message = faults.unsettled(outcome, target)
    assert message == "the deploy ended with exit status 3 before a gate began"


def test_a_refused_deploy_is_reported_with_the_mistake() -> None:
    def refused(_: Emit) -> int:
        raise InputError(Mistake("some-code", "what is wrong"))

    events = list[Event]()
    assert faults.inject(Fault.POWER, refused, site(Machines()), events.append).status == 2
    (noted,) = events
    assert isinstance(noted, Noted)
    assert "what is wrong" in noted.text


def test_a_deploy_that_never_reaches_its_gate_is_reported_with_the_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def endless(_: Emit) -> int:
        signal.pause()
        return 0

    monkeypatch.setattr(faults, "STAGING_SECONDS", 0.0)
    monkeypatch.setattr(faults, "ENDING_SECONDS", 0.0)
    slow = replace(site(Machines()), patience=0.3)
    outcome = faults.inject(Fault.POWER, endless, slow, lambda _: None)
    assert (outcome.status, outcome.host) == (-signal.SIGKILL, "")
    assert faults.unsettled(outcome, slow) == "no gate had begun after 0 s"


def test_failures_after_the_gate_began_are_not_reported() -> None:
    def struck(emit: Emit) -> int:
        emit(GATE)
        emit(HostFailed(Problem("web", "link-lost", "the host is gone")))
        return 5

    events = list[Event]()
    outcome = faults.inject(Fault.AGENT, struck, site(Machines()), events.append)
    assert (outcome.host, [type(event) for event in events]) == ("web", [StepBegan, Noted])


def test_steps_up_to_the_gate_are_reported_without_secrets() -> None:
    def reporting(emit: Emit) -> int:
        emit(RunBegan("deploy", "app", ("web",)))
        emit(SecretsKnown(lambda text: text.replace("s3ntinel", "***")))
        emit(Noted("the password is s3ntinel"))
        emit(StepEnded("web", "activate", 1.5, ok=True))
        emit(GATE)
        emit(StepEnded("web", "check", 1.0, ok=False))
        return 4

    events = list[Event]()
    assert faults.inject(Fault.AGENT, reporting, site(Machines()), events.append).status == 4
    assert events == [
        RunBegan("deploy", "app", ("web",)),
        Noted("the password is ***"),
        StepEnded("web", "activate", 1.5, ok=True),
        GATE,
        Noted("in the gate of web: now a host's agent is killed"),
    ]


def test_progress_is_reported_while_hosts_recover(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "PROGRESS_SECONDS", 0.0)
    events = list[Event]()
    faults.inject(Fault.CONTROLLER, lasting, site(Machines()), events.append)
    texts = [event.text for event in events if isinstance(event, Noted)]
    assert [text.partition(",")[0] for text in texts[1:]] == ["still settling"] * 2


def test_a_host_that_does_not_recover_within_its_deadline_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machines = Machines()
    machines.looks = -(10**9)  # it never ends
    monkeypatch.setattr(faults, "SETTLING_SECONDS", 0.0)
    slow = replace(site(machines), patience=0.3)
    began = time.monotonic()
    outcome = faults.inject(Fault.CONTROLLER, lasting, slow, lambda _: None)
    assert outcome.seconds is None
    assert time.monotonic() - began >= slow.patience
    assert "web had not recovered by itself after 0 s" in faults.unsettled(outcome, slow)

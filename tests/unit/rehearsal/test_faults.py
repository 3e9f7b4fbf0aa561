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
from shipit.lab.lab import LabError
from shipit.rehearsal import faults
from shipit.rehearsal.histories import Attempt
from shipit.rehearsal.scenario import Fault

if TYPE_CHECKING:
    import pytest

    from shipit.events import Emit
    from shipit.rehearsal.providers.base import Machines as Port

GATE = StepBegan("web", "check")


class Machines:
    """Stands in for a provider's: can't be asked at first, then has a transaction for one look."""

    def __init__(self) -> None:
        self.looks = 0
        self.mended: list[str] = []

    def run(self, machine: str, *argv: str) -> Machines:
        if argv[0] == "test" and not self.looks:
            self.looks += 1
            raise LabError("machine-off", "it boots")
        self.looks += argv[0] == "test"
        return self

    @property
    def stdout(self) -> str:
        return ""  # of a ledger that has not begun

    @property
    def returncode(self) -> int:
        return int(self.looks > 2)

    def repair_cable(self, machine: str) -> None:
        self.mended.append(machine)


class Writing(Machines):
    """Stands in for machines whose ledger has one line more each time it is read."""

    @property
    def stdout(self) -> str:
        self.lines += 1
        return f'{{"txn": "{self.lines}", "outcome": "reverted"}}'

    lines = 0


def place(machines: Machines) -> faults.Place:
    return faults.Place("app", "/srv/app", {"web": "m1"}, cast("Port", machines), patience=0.0)


def lasting(emit: Emit) -> int:
    emit(GATE)
    signal.pause()  # in the process that is killed
    return 0


def test_the_killed_controller_says_nothing_more_and_the_time_is_taken() -> None:
    machines = Machines()
    told = list[Event]()
    damage = faults.play(Fault.CONTROLLER, lasting, place(machines), told.append)
    assert damage.status < 0
    assert damage.seconds is not None
    assert (machines.looks, machines.mended) == (3, ["m1"])
    assert damage.host == "web"
    assert told == [GATE, Noted("in the gate of web: now the controller is killed")]


def test_what_hosts_wrote_down_since_the_deploy_began_is_kept() -> None:
    damage = faults.play(Fault.CONTROLLER, lasting, place(Writing()), lambda _: None)
    assert damage.attempts == {"web": Attempt("2", "reverted")}
    assert faults.play(Fault.CONTROLLER, lasting, place(Machines()), lambda _: None).attempts == {}


def test_a_deploy_that_never_comes_to_its_gate_is_told_with_its_status_and_why() -> None:
    failed = HostFailed(Problem("web", "no-python", "there is no Python 3.8", "connect"))

    def refused(emit: Emit) -> int:
        emit(StepBegan("web", "build"))
        emit(failed)
        return 3

    told = list[Event]()
    there = place(Machines())
    damage = faults.play(Fault.POWER, refused, there, told.append)
    assert (damage.status, damage.seconds, damage.host) == (3, None, "")
    assert told == [StepBegan("web", "build"), failed]
    said = faults.unsettled(damage, there)
    assert said == "the deploy ended with exit status 3 before a gate began"


def test_a_deploy_that_is_refused_is_told_with_the_mistake() -> None:
    def refused(_: Emit) -> int:
        raise InputError(Mistake("some-code", "what is wrong"))

    told = list[Event]()
    assert faults.play(Fault.POWER, refused, place(Machines()), told.append).status == 2
    (noted,) = told
    assert isinstance(noted, Noted)
    assert "what is wrong" in noted.text


def test_a_deploy_that_lasts_is_told_with_how_long_it_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(_: Emit) -> int:
        signal.pause()
        return 0

    monkeypatch.setattr(faults, "STAGING_SECONDS", 0.0)
    monkeypatch.setattr(faults, "ENDING_SECONDS", 0.0)
    there = replace(place(Machines()), patience=0.3)
    damage = faults.play(Fault.POWER, endless, there, lambda _: None)
    assert (damage.status, damage.host) == (-signal.SIGKILL, "")
    assert faults.unsettled(damage, there) == "no gate had begun after 0 s"


def test_what_fails_after_a_gate_began_is_the_fault_s_doing_and_not_told() -> None:
    def struck(emit: Emit) -> int:
        emit(GATE)
        emit(HostFailed(Problem("web", "link-lost", "the host is gone")))
        return 5

    told = list[Event]()
    damage = faults.play(Fault.AGENT, struck, place(Machines()), told.append)
    assert (damage.host, [type(event) for event in told]) == ("web", [StepBegan, Noted])


def test_each_step_up_to_the_gate_is_told_and_no_secret_leaves_the_controller() -> None:
    def telling(emit: Emit) -> int:
        emit(RunBegan("deploy", "app", ("web",)))
        emit(SecretsKnown(lambda text: text.replace("s3ntinel", "***")))
        emit(Noted("the password is s3ntinel"))
        emit(StepEnded("web", "activate", 1.5, ok=True))
        emit(GATE)
        emit(StepEnded("web", "check", 1.0, ok=False))
        return 4

    told = list[Event]()
    assert faults.play(Fault.AGENT, telling, place(Machines()), told.append).status == 4
    assert told == [
        RunBegan("deploy", "app", ("web",)),
        Noted("the password is ***"),
        StepEnded("web", "activate", 1.5, ok=True),
        GATE,
        Noted("in the gate of web: now a host's agent is killed"),
    ]


def test_while_hosts_settle_it_a_sign_of_life_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "TELLING_SECONDS", 0.0)
    told = list[Event]()
    faults.play(Fault.CONTROLLER, lasting, place(Machines()), told.append)
    texts = [event.text for event in told if isinstance(event, Noted)]
    assert [text.partition(",")[0] for text in texts[1:]] == ["still settling"] * 2


def test_who_does_not_settle_it_in_the_playbook_s_own_time_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machines = Machines()
    machines.looks = -(10**9)  # it never comes to an end
    monkeypatch.setattr(faults, "SETTLING_SECONDS", 0.0)
    slow = replace(place(machines), patience=0.3)
    began = time.monotonic()
    damage = faults.play(Fault.CONTROLLER, lasting, slow, lambda _: None)
    assert damage.seconds is None
    assert time.monotonic() - began >= slow.patience
    assert "web had not settled it by itself 0 s later" in faults.unsettled(damage, slow)

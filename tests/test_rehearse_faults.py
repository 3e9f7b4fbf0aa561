"""The controller of a rehearsal's fault: a process of its own. On machines: hosts/test_rehearse."""

from __future__ import annotations

import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from shipit.errors import InputError, Mistake
from shipit.events import StepBegan
from shipit.lab import LabError
from shipit.rehearse import faults
from shipit.rehearse.acts import Fault

if TYPE_CHECKING:
    import pytest

    from shipit.events import Emit
    from shipit.rehearse.machines import Machines as Port


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
    def returncode(self) -> int:
        return int(self.looks > 2)

    def mend_cable(self, machine: str) -> None:
        self.mended.append(machine)


def place(machines: Machines) -> faults.Place:
    return faults.Place("app", {"web": "m1"}, cast("Port", machines), patience=0.0)


def lasting(emit: Emit) -> int:
    emit(StepBegan("web", "check"))
    signal.pause()  # in the process that is killed
    return 0


def test_the_killed_controller_says_nothing_more_and_the_time_is_taken() -> None:
    machines = Machines()
    told = list[str]()
    damage = faults.play(Fault.CONTROLLER, lasting, place(machines), told.append)
    assert damage.status < 0
    assert damage.seconds is not None
    assert (machines.looks, machines.mended) == (3, ["m1"])
    assert (damage.host, told) == ("web", ["in the gate of web: now the controller is killed"])


def test_a_deploy_that_never_comes_to_its_gate_is_told_with_its_status() -> None:
    def refused(emit: Emit) -> int:
        emit(StepBegan("web", "build"))
        raise InputError(Mistake("some-code", "what is wrong"))

    told = list[str]()
    damage = faults.play(Fault.POWER, refused, place(Machines()), told.append)
    assert (damage.status, damage.seconds, damage.host) == (2, None, "")
    assert faults.play(Fault.POWER, lambda _: 4, place(Machines()), told.append).status == 4
    assert told == []


def test_who_does_not_settle_it_in_the_playbook_s_own_time_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machines = Machines()
    machines.looks = -(10**9)  # it never comes to an end
    monkeypatch.setattr(faults, "SETTLING_SECONDS", 0.0)
    slow = replace(place(machines), patience=0.3)
    began = time.monotonic()
    assert faults.play(Fault.CONTROLLER, lasting, slow, lambda _: None).seconds is None
    assert time.monotonic() - began >= slow.patience

"""A release whose services run as another user, on the fake machine: whatever fails on the way."""

from __future__ import annotations

import errno
import pwd
import shutil
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from fake_deploy import Simulation, manifest, unit_texts
from fake_machine import Fault, Machine, distinct
from shipit.agent.activation import owners
from shipit.agent.protocol.rules import unit_text
from shipit.agent.system.ownership import Owner

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.agent.system.ownership import Move

STATE = "/var/lib/app"
OLD, NEW, THIRD = "nobody", "daemon", "bin"
FAULTS = (Fault.KILL_AFTER, Fault.CUT_AFTER, Fault.ERROR)
DIRECTORIES = f"StateDirectory={STATE.rpartition('/')[2]}\n"


def numbers(user: str) -> tuple[int, int]:
    account = pwd.getpwnam(user)
    return account.pw_uid, account.pw_gid


@dataclass
class Systemd(Machine):
    """Gives a service's directory to its user when it is started, as systemd does."""

    taken: list[str] = field(default_factory=list)  # the units that got another's directory so
    keeps: bool = False  # whether nothing can be given back
    moved: list[Move] = field(default_factory=list)
    lenient: set[bool] = field(default_factory=set)

    def hand_over(self, move: Move, *, lenient: bool) -> None:
        if self.keeps and lenient:
            raise OSError(errno.EIO, "planned", move.path)
        self.moved.append(move)
        self.lenient.add(lenient)
        super().hand_over(move, lenient=lenient)

    def _start_one(self, name: str) -> bool:
        started = super()._start_one(name)
        settings = unit_text.settings(self.loaded.get(name, ""), "Service")
        if started and settings.get("StateDirectory"):
            user = numbers(unit_text.last(settings, "User"))
            if self.owners.setdefault(STATE, user) != user:
                self.taken.append(name)
                self.owners[STATE] = user
        return started


@pytest.fixture
def simulation(tmp_path: Path) -> Simulation:
    """Give a host that runs r1 as the old user."""
    simulation = Simulation.at(tmp_path / "home")
    simulation.machine = Systemd(simulation.paths, idle=simulation.machine.idle)
    deploy(simulation, "r1", OLD)
    simulation.machine.owners[simulation.paths.shared] = numbers(OLD)
    return simulation


def deploy(simulation: Simulation, release: str, user: str, *, overlaps: bool = True) -> None:
    plain = manifest(simulation.paths, release, worker=True, overlaps=overlaps)
    wanted = replace(plain, user=user)
    given = f"[Service]\nUser={user}\n{DIRECTORIES}"
    texts = unit_texts(simulation.paths, wanted, 8000)
    simulation.deploy(wanted, texts={n: t.replace("[Service]\n", given) for n, t in texts.items()})


def assert_belongs_to(simulation: Simulation, user: str) -> None:
    assert simulation.machine.owners == dict.fromkeys(
        (STATE, simulation.paths.shared), numbers(user)
    )
    assert isinstance(simulation.machine, Systemd)
    assert simulation.machine.taken == []  # by systemd, before it was handed over


def calls(simulation: Simulation, *words: str) -> list[str]:
    """Return the calls that begin with one of these words."""
    plain = (call.partition(": ")[2] for call in simulation.machine.calls)
    return [call for call in plain if call.startswith(words)]


def test_a_committed_release_has_the_directories_and_the_next_one_moves_nothing(
    simulation: Simulation,
) -> None:
    deploy(simulation, "r2", NEW)
    assert_belongs_to(simulation, NEW)
    simulation.machine.calls.clear()
    deploy(simulation, "r3", NEW)
    assert simulation.outcomes == ["committed"] * 3
    assert calls(simulation, "hand over") == []


@pytest.mark.parametrize("handover", ["overlap", "restart"])
def test_a_release_that_is_taken_back_gives_the_directories_back(
    simulation: Simulation, handover: str
) -> None:
    simulation.verdict = "revert"
    deploy(simulation, "r2", NEW, overlaps=handover == "overlap")
    assert simulation.outcomes == ["committed", "rolled_back"]
    assert_belongs_to(simulation, OLD)


def test_a_release_that_fails_its_trial_has_had_no_directory(simulation: Simulation) -> None:
    simulation.machine.sick.add("r2")
    deploy(simulation, "r2", NEW)
    assert simulation.outcomes == ["committed", "discarded"]
    assert calls(simulation, "hand over") == []
    assert_belongs_to(simulation, OLD)


def test_a_rollback_past_two_users_gives_the_directories_to_the_first(
    simulation: Simulation,
) -> None:
    deploy(simulation, "r2", NEW)
    deploy(simulation, "r3", THIRD)
    assert_belongs_to(simulation, THIRD)
    machine = simulation.machine
    assert isinstance(machine, Systemd)
    assert machine.lenient == {False}
    simulation.rollback("r1")
    assert simulation.head == "r1"
    assert machine.lenient == {False, True}  # a service must not keep its predecessor away
    assert_belongs_to(simulation, OLD)


def test_what_no_socket_wakes_ends_before_its_directories_change_hands(
    simulation: Simulation,
) -> None:
    simulation.machine.calls.clear()
    deploy(simulation, "r2", NEW)
    words = ("stop app-worker", "stop app-web@r", "hand over", "restart", "start app-web@r")
    order = calls(simulation, *words)
    assert order == [
        "stop app-worker.service",
        f"hand over {simulation.paths.shared}",
        f"hand over {STATE}",
        "restart app-worker.service",
        "start app-web@r2.service",
        "stop app-web@r1.service",
    ]


def test_the_directories_are_the_running_releases_whatever_fails(
    simulation: Simulation, tmp_path: Path
) -> None:
    home, disk = tmp_path / "home", tmp_path / "disk"
    shutil.copytree(home, disk, symlinks=True)
    whole, before = deepcopy(simulation), len(simulation.machine.calls)
    deploy(whole, "r2", NEW)
    found = {}
    for at in range(before, len(whole.machine.calls)):
        for fault in {*FAULTS} & {*distinct(whole.machine.calls[at])}:
            shutil.rmtree(home)
            shutil.copytree(disk, home, symlinks=True)
            copied = deepcopy(simulation)
            copied.machine.faults = {at: fault}
            deploy(copied, "r2", NEW)
            wrong = mistaken(copied)
            if wrong:
                found[f"{fault} {whole.machine.calls[at]}"] = wrong
    assert not found, "\n".join(f"{fault}: {seen}" for fault, seen in found.items())


def mistaken(simulation: Simulation) -> str:
    assert isinstance(simulation.machine, Systemd)
    wanted = numbers({"r1": OLD, "r2": NEW}[simulation.head])
    is_right = set(simulation.machine.owners.values()) == {wanted} and not simulation.machine.taken
    return (
        ""
        if is_right
        else f"{simulation.outcomes} {simulation.machine.owners} {simulation.machine.taken}"
    )


def test_what_a_stuck_release_could_not_give_back_is_handed_over_by_the_next_one(
    simulation: Simulation,
) -> None:
    machine = simulation.machine
    assert isinstance(machine, Systemd)
    machine.keeps, simulation.verdict = True, "revert"
    deploy(simulation, "r2", NEW)
    assert simulation.state == "stuck"
    simulation.verdict = "commit"
    deploy(simulation, "r3", THIRD)
    assert simulation.head == "r3"
    assert_belongs_to(simulation, THIRD)
    givers = [Owner(*numbers(user)) for user in (OLD, NEW)]
    assert [move.givers for move in machine.moved[-2:]] == [tuple(givers)] * 2


def test_a_user_or_a_group_that_is_not_on_the_host_owns_nothing() -> None:
    assert owners.owner("no-such-user") is None
    assert owners.owner(OLD, "no-such-group") is None
    assert owners.owner("") is None

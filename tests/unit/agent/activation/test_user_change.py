"""A release whose services run as another user, on the fake machine: whatever fails on the way."""

from __future__ import annotations

import errno
import pwd
import shutil
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from fake_machine import Fault, Machine, distinct
from fake_story import Story, manifest, unit_texts
from shipit.agent.activation import owners
from shipit.agent.protocol import unit_text
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
def story(tmp_path: Path) -> Story:
    """Give a host that runs r1 as the old user."""
    told = Story.at(tmp_path / "home")
    told.machine = Systemd(told.paths, idle=told.machine.idle)
    deploy(told, "r1", OLD)
    told.machine.owners[told.paths.shared] = numbers(OLD)
    return told


def deploy(story: Story, release: str, user: str, *, overlaps: bool = True) -> None:
    plain = manifest(story.paths, release, worker=True, overlaps=overlaps)
    wanted = replace(plain, user=user)
    given = f"[Service]\nUser={user}\n{DIRECTORIES}"
    texts = unit_texts(story.paths, wanted, 8000)
    story.deploy(wanted, texts={n: t.replace("[Service]\n", given) for n, t in texts.items()})


def assert_belongs_to(story: Story, user: str) -> None:
    assert story.machine.owners == dict.fromkeys((STATE, story.paths.shared), numbers(user))
    assert isinstance(story.machine, Systemd)
    assert story.machine.taken == []  # by systemd, before it was handed over


def calls(story: Story, *words: str) -> list[str]:
    """Return the calls that begin with one of these words."""
    plain = (call.partition(": ")[2] for call in story.machine.calls)
    return [call for call in plain if call.startswith(words)]


def test_a_committed_release_has_the_directories_and_the_next_one_moves_nothing(
    story: Story,
) -> None:
    deploy(story, "r2", NEW)
    assert_belongs_to(story, NEW)
    story.machine.calls.clear()
    deploy(story, "r3", NEW)
    assert story.outcomes == ["committed"] * 3
    assert calls(story, "hand over") == []


@pytest.mark.parametrize("handover", ["overlap", "restart"])
def test_a_release_that_is_taken_back_gives_the_directories_back(
    story: Story, handover: str
) -> None:
    story.verdict = "revert"
    deploy(story, "r2", NEW, overlaps=handover == "overlap")
    assert story.outcomes == ["committed", "rolled_back"]
    assert_belongs_to(story, OLD)


def test_a_release_that_fails_its_trial_has_had_no_directory(story: Story) -> None:
    story.machine.sick.add("r2")
    deploy(story, "r2", NEW)
    assert story.outcomes == ["committed", "discarded"]
    assert calls(story, "hand over") == []
    assert_belongs_to(story, OLD)


def test_a_rollback_past_two_users_gives_the_directories_to_the_first(story: Story) -> None:
    deploy(story, "r2", NEW)
    deploy(story, "r3", THIRD)
    assert_belongs_to(story, THIRD)
    machine = story.machine
    assert isinstance(machine, Systemd)
    assert machine.lenient == {False}
    story.rollback("r1")
    assert story.head == "r1"
    assert machine.lenient == {False, True}  # a service must not keep its predecessor away
    assert_belongs_to(story, OLD)


def test_what_no_socket_wakes_ends_before_its_directories_change_hands(story: Story) -> None:
    story.machine.calls.clear()
    deploy(story, "r2", NEW)
    words = ("stop app-worker", "stop app-web@r", "hand over", "restart", "start app-web@r")
    order = calls(story, *words)
    assert order == [
        "stop app-worker.service",
        f"hand over {story.paths.shared}",
        f"hand over {STATE}",
        "restart app-worker.service",
        "start app-web@r2.service",
        "stop app-web@r1.service",
    ]


def test_the_directories_are_the_running_releases_whatever_fails(
    story: Story, tmp_path: Path
) -> None:
    home, disk = tmp_path / "home", tmp_path / "disk"
    shutil.copytree(home, disk, symlinks=True)
    whole, before = deepcopy(story), len(story.machine.calls)
    deploy(whole, "r2", NEW)
    found = {}
    for at in range(before, len(whole.machine.calls)):
        for fault in {*FAULTS} & {*distinct(whole.machine.calls[at])}:
            shutil.rmtree(home)
            shutil.copytree(disk, home, symlinks=True)
            told = deepcopy(story)
            told.machine.faults = {at: fault}
            deploy(told, "r2", NEW)
            wrong = mistaken(told)
            if wrong:
                found[f"{fault} {whole.machine.calls[at]}"] = wrong
    assert not found, "\n".join(f"{fault}: {seen}" for fault, seen in found.items())


def mistaken(story: Story) -> str:
    assert isinstance(story.machine, Systemd)
    wanted = numbers({"r1": OLD, "r2": NEW}[story.head])
    is_right = set(story.machine.owners.values()) == {wanted} and not story.machine.taken
    return "" if is_right else f"{story.outcomes} {story.machine.owners} {story.machine.taken}"


def test_what_a_stuck_release_could_not_give_back_is_handed_over_by_the_next_one(
    story: Story,
) -> None:
    machine = story.machine
    assert isinstance(machine, Systemd)
    machine.keeps, story.verdict = True, "revert"
    deploy(story, "r2", NEW)
    assert story.state == "stuck"
    story.verdict = "commit"
    deploy(story, "r3", THIRD)
    assert story.head == "r3"
    assert_belongs_to(story, THIRD)
    givers = [Owner(*numbers(user)) for user in (OLD, NEW)]
    assert [move.givers for move in machine.moved[-2:]] == [tuple(givers)] * 2


def test_a_user_or_a_group_that_is_not_on_the_host_owns_nothing() -> None:
    assert owners.owner("no-such-user") is None
    assert owners.owner(OLD, "no-such-group") is None
    assert owners.owner("") is None

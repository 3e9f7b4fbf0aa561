"""Stories of deploys on a fake machine, and the calls in them that can fail.

    tale = Tale.of(scratch, upgrade)
    told(tale, {17: Fault.KILL_BEFORE})  # and what must hold after each story is checked

The cases come from the calls that a story makes and from the kinds of faults, not from a list.
"""

from __future__ import annotations

import shutil
import tempfile
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from fake_machine import Fault, distinct
from fake_story import Story, manifest
from shipit.agent.server import adopt

if TYPE_CHECKING:
    from collections.abc import Callable

    Script = Callable[[Story], None]

MEMORY = Path("/dev/shm")
OLD, NEW = "r1", "r2"
Case = tuple[int, Fault, str]  # at which call, and its name with the state before it


def in_memory() -> Path | None:
    return MEMORY if MEMORY.is_dir() else None


def first_deploy(story: Story) -> None:
    story.deploy(manifest(story.paths, NEW, worker=True))


def upgrade(story: Story) -> None:
    story.deploy(manifest(story.paths, NEW, worker=True))


def changed_socket(story: Story) -> None:
    story.deploy(manifest(story.paths, NEW), port=9000)


def sick_upgrade(story: Story) -> None:
    story.machine.sick.add(NEW)
    story.deploy(manifest(story.paths, NEW, worker=True))


def sick_first_deploy(story: Story) -> None:
    sick_upgrade(story)


def crashing_upgrade(story: Story) -> None:
    story.machine.crashing.add(NEW)
    story.deploy(manifest(story.paths, NEW, worker=True))


def called_back(story: Story) -> None:
    story.verdict = "revert"
    upgrade(story)


def unconfirmed(story: Story) -> None:
    story.verdict = ""
    upgrade(story)


def rollback(story: Story) -> None:
    story.rollback(NEW)


def overlapping_upgrade(story: Story) -> None:
    story.deploy(manifest(story.paths, NEW, worker=True, overlaps=True))


def overlapping_from_restarts(story: Story) -> None:
    overlapping_upgrade(story)


def sick_overlapping_upgrade(story: Story) -> None:
    story.machine.sick.add(NEW)
    overlapping_upgrade(story)


def crashing_overlapping_upgrade(story: Story) -> None:
    story.machine.crashing.add(NEW)
    overlapping_upgrade(story)


def called_back_overlapping(story: Story) -> None:
    story.verdict = "revert"
    overlapping_upgrade(story)


def overlapping_rollback(story: Story) -> None:
    story.rollback(NEW)


def sick_first_deploy_where_adopted(story: Story) -> None:
    sick_upgrade(story)


# story -> releases committed beforehand
STORIES: dict[Script, tuple[str, ...]] = {
    first_deploy: (),
    sick_first_deploy: (),
    upgrade: (OLD,),
    changed_socket: (OLD,),
    sick_upgrade: (OLD,),
    crashing_upgrade: (OLD,),
    called_back: (OLD,),
    unconfirmed: (OLD,),
    sick_first_deploy_where_adopted: (),
    rollback: (NEW, OLD),
    overlapping_upgrade: (OLD,),
    overlapping_from_restarts: (OLD,),
    sick_overlapping_upgrade: (OLD,),
    crashing_overlapping_upgrade: (OLD,),
    called_back_overlapping: (OLD,),
    overlapping_rollback: (NEW, OLD),
}
ENDS: dict[Script, str] = {
    first_deploy: NEW,
    upgrade: NEW,
    changed_socket: NEW,
    rollback: NEW,
    overlapping_upgrade: NEW,
    overlapping_from_restarts: NEW,
    overlapping_rollback: NEW,
}


def prepared(directory: Path, tell: Script) -> Story:
    story = Story.at(directory)
    if tell is sick_first_deploy_where_adopted:
        Path(story.paths.root).mkdir()
        Path(story.paths.current).symlink_to("of/another/tool")
        adopt.adopt(story.paths, story._attempt("adopt"), story.machine.wall_time)
    overlaps = "overlapping" in tell.__name__ and tell is not overlapping_from_restarts
    for release in STORIES[tell]:
        story.deploy(manifest(story.paths, release, overlaps=overlaps))
        assert story.head == release
    story.machine.calls.clear()
    story.processes = 0
    return story


@dataclass(frozen=True)
class Tale:
    """A story as far as it is the same in every telling: played once, then copied."""

    tell: Script
    story: Story
    home: Path
    disk: Path  # a copy of it

    @classmethod
    def of(cls, scratch: Path, tell: Script) -> Tale:
        home, disk = scratch / "home", scratch / "disk"
        return cls(tell, prepared(home, tell), home, shutil.copytree(home, disk, symlinks=True))

    def begun(self) -> Story:
        """Put the machine back to where the telling begins."""
        shutil.rmtree(self.home)
        shutil.copytree(self.disk, self.home, symlinks=True)
        return deepcopy(self.story)


def told(tale: Tale, faults: dict[int, Fault]) -> Story:
    """Tell a story with faults, then check what must hold after every story."""
    story = tale.begun()
    before = story.head
    story.machine.faults = faults
    tale.tell(story)
    story.machine.faults = {}
    check_invariants(story, before)
    return story


def check_invariants(story: Story, before: str) -> None:
    assert "stuck" not in story.outcomes
    story.assert_nothing_is_left()
    settled = story.settled()
    if settled is not None:
        assert settled.running == story.head
        assert (settled.outcome == "committed") == (story.outcomes[-1] == "committed")
    check_one_release_runs(story, before)


def check_one_release_runs(story: Story, before: str) -> None:
    assert story.head in (before, NEW)
    story.assert_serves(story.head)
    after, story.verdict = story.head, "commit"  # nothing blocks the next one
    story.deploy(manifest(story.paths, "r3"))
    assert story.head == "r3", f"blocked after {after}"
    story.assert_serves("r3")
    story.assert_nothing_is_left()


def moments(tale: Tale, most: int) -> dict[int, str]:
    """Return the calls of a story that differ: of each kind in a state, the first and the last."""
    story = tale.begun()
    story.machine.label = lambda: story.state
    tale.tell(story)
    alike: dict[str, list[int]] = {}
    for index, name in enumerate(story.machine.calls):
        alike.setdefault(name, []).append(index)
    chosen = {i for found in alike.values() for i in (*found[: most - 1], *found[-1:])}
    return {index: story.machine.calls[index] for index in sorted(chosen)}


def single(tale: Tale) -> list[Case]:
    """Return every fault of every kind of call that makes a story of its own, with that call."""
    calls = moments(tale, most=2)
    return [(index, fault, call) for index, call in calls.items() for fault in distinct(call)]


def sampled(tale: Tale) -> list[Case]:
    """Return a story's part of all faults of all calls, and each kind of fault in each state."""
    cases = single(tale)
    parts = shares()
    own = [case for case in cases if parts[case[1:]] is tale.tell]
    in_states = {(state_of(call), fault): (index, fault, call) for index, fault, call in cases}
    in_states |= {(state_of(call), fault): (index, fault, call) for index, fault, call in own}
    return sorted({*own, *in_states.values()}, key=cases.index)


@cache
def shares() -> dict[tuple[Fault, str], Script]:
    """Return for each fault of each call one of the stories that come to it, in turn."""
    having: dict[tuple[Fault, str], list[Script]] = {}
    for tell in STORIES:
        with tempfile.TemporaryDirectory(dir=in_memory()) as scratch:
            for _, fault, call in single(Tale.of(Path(scratch), tell)):
                having.setdefault((fault, call), []).append(tell)
    turns = count()
    return {each: stories[next(turns) % len(stories)] for each, stories in having.items()}


def state_of(call: str) -> str:
    return call.partition(":")[0]

"""The transaction survives anything: each call of a story fails in turn, and pairs of them.

The cases come from the calls that a story makes and from the kinds of faults, not from a list.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fake_disk import FullDisk
from fake_machine import Fault, distinct
from fake_story import Story, manifest
from shipit.agent.protocol.messages import Attempt, Failure, Healthy, Settled
from shipit.agent.records import history, journal, releases
from shipit.agent.records.event_log import EventLogReader, EventLogWriter
from shipit.agent.records.states import State
from shipit.agent.server import adopt
from shipit.agent.system import files
from shipit.agent.system.failures import Refused
from shipit.agent.system.paths import Paths
from shipit.agent.transaction import client, runner
from shipit.agent.transaction.effects import EffectContext

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MEMORY = Path("/dev/shm")
OLD, NEW = "r1", "r2"
ATTEMPT = Attempt("now", "deploy", "dev@laptop", 1, "2026-01-01T00:00:00Z")


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A directory in memory where there is one: thousands of fsyncs, none of them of interest."""
    directory = tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None)
    yield Path(directory)
    shutil.rmtree(directory)


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
STORIES: dict[Callable[[Story], None], tuple[str, ...]] = {
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
ENDS: dict[Callable[[Story], None], str] = {
    first_deploy: NEW,
    upgrade: NEW,
    changed_socket: NEW,
    rollback: NEW,
    overlapping_upgrade: NEW,
    overlapping_from_restarts: NEW,
    overlapping_rollback: NEW,
}
# A fault that is left out where the other one is told; where neither is, it is no fault at all.
REPEATED = {
    Fault.KILL_AFTER: Fault.KILL_BEFORE,
    Fault.CUT_AFTER: Fault.CUT_BEFORE,
    Fault.LATE_ERROR: Fault.ERROR,
}
ids = pytest.mark.parametrize("tell", STORIES, ids=lambda tell: tell.__name__)


def prepared(directory: Path, tell: Callable[[Story], None]) -> Story:
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

    tell: Callable[[Story], None]
    story: Story
    home: Path
    disk: Path  # a copy of it

    @classmethod
    def of(cls, scratch: Path, tell: Callable[[Story], None]) -> Tale:
        home, disk = scratch / "home", scratch / "disk"
        return cls(tell, prepared(home, tell), home, shutil.copytree(home, disk, symlinks=True))

    def begun(self) -> Story:
        """Put the machine back to where the telling begins."""
        shutil.rmtree(self.home)
        shutil.copytree(self.disk, self.home, symlinks=True)
        return deepcopy(self.story)


@pytest.fixture
def tale(scratch: Path, tell: Callable[[Story], None]) -> Tale:
    return Tale.of(scratch, tell)


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


def single(tale: Tale) -> list[tuple[int, Fault, str]]:
    """Return every fault of every kind of call that makes a story of its own, with that call."""
    calls = moments(tale, most=2)
    return [(index, fault, call) for index, call in calls.items() for fault in distinct(call)]


@ids
def test_without_a_fault_a_story_ends_as_it_should(tale: Tale) -> None:
    story = tale.begun()
    before = story.head
    tale.tell(story)
    assert story.head == ENDS.get(tale.tell, before)
    check_invariants(story, before)


@pytest.mark.parametrize(
    "tell", [sick_overlapping_upgrade, crashing_overlapping_upgrade], ids=lambda tell: tell.__name__
)
def test_a_release_that_fails_its_gate_never_had_live_traffic(
    scratch: Path, tell: Callable[[Story], None]
) -> None:
    story = prepared(scratch, tell)
    tell(story)
    assert "app-web@trial.service" in story.machine.started
    assert f"app-web@{NEW}.service" not in story.machine.started
    assert story.outcomes[-1] == "failed"
    assert story.machine.answered[-1] != (NEW, False)


def test_an_overlapping_successor_serves_before_its_predecessor_is_stopped(scratch: Path) -> None:
    story = prepared(scratch, overlapping_upgrade)
    overlapping_upgrade(story)
    calls = [call.partition(": ")[2] for call in story.machine.calls]
    begins, serves, ends = (
        calls.index(f"start app-web@{NEW}.service"),
        calls.index(f"accept probe of app-web@{NEW}.service"),
        calls.index(f"stop app-web@{OLD}.service"),
    )
    assert begins < serves < ends


@ids
def test_after_any_single_fault_one_release_runs_and_nothing_blocks(tale: Tale) -> None:
    for index, fault, call in single(tale):
        try:
            told(tale, {index: fault})
        except AssertionError as error:
            raise AssertionError(f"{fault.value} {call!r} (call {index})") from error


def test_a_skipped_fault_repeats_another_run(scratch: Path) -> None:
    tale = Tale.of(scratch, sick_upgrade)
    one_of_each = {call.split()[1]: (i, call) for i, call in moments(tale, most=2).items()}
    for index, call in one_of_each.values():
        for fault in set(Fault) - {*distinct(call)}:
            told_instead = REPEATED.get(fault, fault)
            faults = {index: told_instead} if told_instead in distinct(call) else {}
            assert seen(tale, {index: fault}) == seen(tale, faults), f"{fault.value} {call}"


def seen(tale: Tale, faults: dict[int, Fault]) -> tuple[object, ...]:
    """Return every call of a story with faults, with what the machine is like at it."""
    story = tale.begun()
    machine, units = story.machine, Path(story.paths.units)

    def looks() -> str:
        links = (releases.pointed(story.paths), sorted(units.rglob("*")))
        return f"{machine.running} {machine.loaded} {machine.driver} {links}"

    machine.label, machine.faults = looks, faults
    tale.tell(story)
    return machine.calls, machine.clock, machine.boots, story.processes, story.outcomes


@pytest.mark.parametrize("jump", [-3e8, 3e8])
def test_a_clock_that_jumps_meanwhile_decides_nothing(scratch: Path, jump: float) -> None:
    tale = Tale.of(scratch, upgrade)
    for index, call in moments(tale, most=1).items():
        story = tale.begun()
        before = story.head
        for run in story.machine.running.values():
            run.restarts = 1  # long ago; what is left alone keeps it
        story.machine.faults = {index: Fault.ERROR}
        story.machine.jump, story.machine.jump_at = jump, index
        upgrade(story)
        story.machine.faults = {}
        assert story.head in (before, NEW), call
        assert "stuck" not in story.outcomes, f"{call} (call {index})"
        story.assert_serves(story.head)


PAIRS = int(os.environ.get("SHIPIT_FAULT_PAIRS", "25"))  # of each story, drawn anew by a fixed seed


@ids
def test_after_a_pair_of_faults_one_release_runs_and_nothing_blocks(tale: Tale) -> None:
    draw = random.Random(tale.tell.__name__)  # noqa: S311 - the same pairs in every run
    firsts = single(tale)
    for index, fault, _ in draw.sample(firsts, min(PAIRS, len(firsts))):
        second, late = draw.randrange(1, 40), draw.choice(list(Fault))
        try:
            told(tale, {index: fault, index + second: late})
        except AssertionError as error:
            pair = f"{fault.value} at call {index}, {late.value} {second} calls later"
            raise AssertionError(pair) from error


@pytest.mark.parametrize(
    "tell", [first_deploy, upgrade, sick_upgrade, rollback], ids=lambda tell: tell.__name__
)
@pytest.mark.parametrize("refusals", [1, 30], ids=["for a moment", "until somebody makes room"])
def test_after_a_full_disk_at_any_write_one_release_runs_and_nothing_blocks(
    tale: Tale, monkeypatch: pytest.MonkeyPatch, refusals: int
) -> None:
    writes = on_a_disk(tale, monkeypatch, FullDisk()).changes
    assert len(writes) > 20
    for moment, write in enumerate(writes):
        disk = FullDisk(range(moment, moment + refusals))
        try:
            on_a_disk(tale, monkeypatch, disk)
        except AssertionError as error:
            raise AssertionError(f"full at write {moment}: {write}") from error


def on_a_disk(tale: Tale, monkeypatch: pytest.MonkeyPatch, disk: FullDisk) -> FullDisk:
    """Play a story on this disk; then it is freed, and what must be true is looked at."""
    story = tale.begun()
    before = story.head
    with monkeypatch.context() as patch:
        patch.setattr(files, "os", disk)
        tale.tell(story)
        disk.free()
        story.hello()  # the next session settles a stuck transaction
    check_one_release_runs(story, before)
    return disk


def test_a_driver_that_the_disk_does_not_let_begin_gives_up_with_what_to_do(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = Story.at(scratch)
    open_ = client.begin(story.paths, ATTEMPT, NEW, fresh=True)
    journal.move(story.paths, open_, State.ARM)
    with monkeypatch.context() as patch:
        patch.setattr(files, "os", FullDisk(range(2, 4)))  # it has its lock
        assert client.transact(story.paths, story.machine) == 0
    assert client.attached(story.paths) is None
    [settled] = [word for word in EventLogReader(story.paths).unread() if isinstance(word, Settled)]
    assert settled.failure is not None
    assert (settled.outcome, settled.failure.code) == ("discarded", "disk-full")
    assert settled.failure.hint


def test_a_driver_without_room_for_its_lock_is_refused_and_started_again(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = Story.at(scratch)
    open_ = client.begin(story.paths, ATTEMPT, NEW, fresh=True)
    journal.move(story.paths, open_, State.ARM)
    Path(story.paths.txn_lock).unlink(missing_ok=True)
    monkeypatch.setattr(files, "os", FullDisk(range(9)))
    with pytest.raises(Refused) as refused:
        client.transact(story.paths, story.machine)
    assert (refused.value.failure.code, refused.value.failure.step) == ("disk-full", "arm")


def test_an_interruption_on_a_full_disk_comes_with_what_to_do(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = Story.at(scratch)
    open_ = client.begin(story.paths, ATTEMPT, NEW, fresh=True)
    context = EffectContext(story.paths, story.machine, lambda _: None)
    interrupted = Failure("interrupted", "the deploy was interrupted", "arm")
    monkeypatch.setattr(files, "os", FullDisk(range(1000)))
    moved = runner.enter_state(context, open_, State.DISCARD, interrupted)
    assert moved.failure is not None
    assert "disk-full" in moved.failure.what
    assert moved.failure.hint


def test_the_late_last_word_of_the_transaction_before_is_not_taken_for_the_present_one_s(
    scratch: Path,
) -> None:
    story = Story.at(scratch)
    client.begin(story.paths, ATTEMPT, NEW, fresh=True)
    say = EventLogWriter(story.paths)
    say(Settled("before", "reverted", OLD))
    say(Healthy("now", NEW))
    assert next(client.follow(story.paths, story.machine)) == Healthy("now", NEW)


def test_the_units_of_a_running_release_whose_manifest_is_lost_go_with_it(scratch: Path) -> None:
    paths = Paths("app", str(scratch / "opt"), str(scratch / "var"), str(scratch / "units"))
    units = Path(paths.release(OLD).units)
    units.mkdir(parents=True)
    for name in ("app-web@r1.service", "app-web.socket", "README"):
        (units / name).touch()
    history.append(paths, history.Entry("t1", "deploy", OLD, "1", "", "committed", "dev", "now"))
    opened = client.begin(paths, ATTEMPT, NEW, fresh=True)
    assert (opened.previous, opened.strays) == (OLD, ("app-web.socket", "app-web@r1.service"))

"""The transaction survives anything: each call of a simulation fails in turn, and pairs of them.

Here scenarios share the faults of the calls that they have in common (see fault_scenarios.sampled);
`make faults` plays all in each.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fake_deploy import Simulation
from fake_disk import FullDisk
from fake_machine import Fault, Machine, distinct
from fault_scenarios import (
    ENDS,
    NEW,
    OLD,
    SCENARIOS,
    Snapshot,
    check_invariants,
    check_one_release_runs,
    crashing_overlapping_upgrade,
    first_deploy,
    in_memory,
    moments,
    overlapping_upgrade,
    prepared,
    rollback,
    sampled,
    sick_overlapping_upgrade,
    sick_upgrade,
    simulate,
    single,
    upgrade,
)
from shipit.agent.protocol.answers import Result
from shipit.agent.protocol.messages import Attempt, Failure, Healthy, Settled
from shipit.agent.records import history, releases
from shipit.agent.records.redactor import Redactor
from shipit.agent.system import files
from shipit.agent.system.failures import Refused
from shipit.agent.system.paths import Paths
from shipit.agent.transaction import client, runner
from shipit.agent.transaction.effects.context import EffectContext
from shipit.agent.transaction.event_log import EventLogReader, EventLogWriter
from shipit.agent.transaction.states import State
from shipit.agent.transaction.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fault_scenarios import Scenario

IS_WHOLE = "FAULTS" in os.environ
PAIRS = int(os.environ.get("FAULTS", "10"))  # of each simulation, drawn anew by a fixed seed
ATTEMPT = Attempt("now", "deploy", "dev@laptop", 1, "2026-01-01T00:00:00Z")


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A directory in memory where there is one: thousands of fsyncs, none of them of interest."""
    directory = tempfile.mkdtemp(dir=in_memory())
    yield Path(directory)
    shutil.rmtree(directory)


# A fault that is left out where the other one is reported; where neither is, it is no fault at all.
REPEATED = {
    Fault.KILL_AFTER: Fault.KILL_BEFORE,
    Fault.CUT_AFTER: Fault.CUT_BEFORE,
    Fault.LATE_ERROR: Fault.ERROR,
}
ids = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)


@pytest.fixture
def snapshot(scratch: Path, scenario: Scenario) -> Snapshot:
    return Snapshot.of(scratch, scenario)


@ids
def test_without_a_fault_a_scenario_ends_as_it_should(snapshot: Snapshot) -> None:
    simulation = snapshot.begun()
    before = simulation.head
    snapshot.scenario(simulation)
    assert simulation.head == ENDS.get(snapshot.scenario, before)
    check_invariants(simulation, before)


@pytest.mark.parametrize(
    "scenario",
    [sick_overlapping_upgrade, crashing_overlapping_upgrade],
    ids=lambda scenario: scenario.__name__,
)
def test_a_release_that_fails_its_gate_never_had_live_traffic(
    scratch: Path, scenario: Scenario
) -> None:
    simulation = prepared(scratch, scenario)
    scenario(simulation)
    assert "app-web@trial.service" in simulation.machine.started
    assert f"app-web@{NEW}.service" not in simulation.machine.started
    assert simulation.outcomes[-1] == "discarded"
    assert simulation.machine.answered[-1] != (NEW, False)


def test_an_overlapping_successor_serves_before_its_predecessor_is_stopped(scratch: Path) -> None:
    simulation = prepared(scratch, overlapping_upgrade)
    overlapping_upgrade(simulation)
    calls = [call.partition(": ")[2] for call in simulation.machine.calls]
    begins, serves, ends = (
        calls.index(f"start app-web@{NEW}.service"),
        calls.index(f"accept probe of app-web@{NEW}.service"),
        calls.index(f"stop app-web@{OLD}.service"),
    )
    assert begins < serves < ends


@ids
def test_after_any_single_fault_one_release_runs_and_nothing_blocks(snapshot: Snapshot) -> None:
    for index, fault, call in single(snapshot) if IS_WHOLE else sampled(snapshot):
        try:
            simulate(snapshot, {index: fault})
        except AssertionError as error:
            raise AssertionError(f"{fault.value} {call!r} (call {index})") from error


def test_a_skipped_fault_repeats_another_run(scratch: Path) -> None:
    snapshot = Snapshot.of(scratch, sick_upgrade)
    one_of_each = {call.split()[1]: (i, call) for i, call in moments(snapshot, most=2).items()}
    for index, call in one_of_each.values():
        for fault in set(Fault) - {*distinct(call)}:
            instead = REPEATED.get(fault, fault)
            faults = {index: instead} if instead in distinct(call) else {}
            assert seen(snapshot, {index: fault}) == seen(snapshot, faults), f"{fault.value} {call}"


def seen(snapshot: Snapshot, faults: dict[int, Fault]) -> tuple[object, ...]:
    """Return every call of a simulation with faults, with what the machine is like at it."""
    simulation = snapshot.begun()
    machine, units = simulation.machine, Path(simulation.paths.units)

    def looks() -> str:
        links = (releases.pointed(simulation.paths), sorted(units.rglob("*")))
        return f"{machine.running} {machine.loaded} {machine.driver} {links}"

    machine.label, machine.faults = looks, faults
    snapshot.scenario(simulation)
    return machine.calls, machine.clock, machine.boots, simulation.processes, simulation.outcomes


@pytest.mark.parametrize("jump", [-3e8, 3e8])
def test_a_clock_that_jumps_meanwhile_decides_nothing(scratch: Path, jump: float) -> None:
    snapshot = Snapshot.of(scratch, upgrade)
    for index, call in moments(snapshot, most=1).items():
        simulation = snapshot.begun()
        before = simulation.head
        for run in simulation.machine.running.values():
            run.restarts = 1  # long ago; what is left alone keeps it
        simulation.machine.faults = {index: Fault.ERROR}
        simulation.machine.jump, simulation.machine.jump_at = jump, index
        upgrade(simulation)
        simulation.machine.faults = {}
        assert simulation.head in (before, NEW), call
        assert "stuck" not in simulation.outcomes, f"{call} (call {index})"
        simulation.assert_serves(simulation.head)


@ids
def test_after_a_pair_of_faults_one_release_runs_and_nothing_blocks(snapshot: Snapshot) -> None:
    draw = random.Random(snapshot.scenario.__name__)  # noqa: S311 - the same pairs in every run
    firsts = single(snapshot)
    for index, fault, _ in draw.sample(firsts, min(PAIRS, len(firsts))):
        second, late = draw.randrange(1, 40), draw.choice(list(Fault))
        try:
            simulate(snapshot, {index: fault, index + second: late})
        except AssertionError as error:
            pair = f"{fault.value} at call {index}, {late.value} {second} calls later"
            raise AssertionError(pair) from error


@pytest.mark.parametrize(
    "scenario",
    [first_deploy, upgrade, sick_upgrade, rollback],
    ids=lambda scenario: scenario.__name__,
)
@pytest.mark.parametrize("refusals", [1, 30], ids=["for a moment", "until somebody makes room"])
def test_after_a_full_disk_at_any_write_one_release_runs_and_nothing_blocks(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch, refusals: int
) -> None:
    writes = on_a_disk(snapshot, monkeypatch, FullDisk()).changes
    assert len(writes) > 20
    every = [*enumerate(writes)]  # else by turns: the one half for a moment, the other for longer
    for moment, write in every if IS_WHOLE else every[refusals % 2 :: 2]:
        disk = FullDisk(range(moment, moment + refusals))
        try:
            on_a_disk(snapshot, monkeypatch, disk)
        except AssertionError as error:
            raise AssertionError(f"full at write {moment}: {write}") from error


def on_a_disk(snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch, disk: FullDisk) -> FullDisk:
    """Play a simulation on this disk; then it is freed, and what must be true is looked at."""
    simulation = snapshot.begun()
    before = simulation.head
    with monkeypatch.context() as patch:
        patch.setattr(files, "os", disk)
        snapshot.scenario(simulation)
        disk.free()
        simulation.hello()  # the next session settles a stuck transaction
    check_one_release_runs(simulation, before)
    return disk


def test_a_driver_that_the_disk_does_not_let_begin_gives_up_with_what_to_do(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation = Simulation.at(scratch)
    open_ = client.begin(simulation.store, ATTEMPT, NEW, fresh=True)
    simulation.store.save(replace(open_, state=State.ARM))
    with monkeypatch.context() as patch:
        patch.setattr(files, "os", FullDisk(range(2, 4)))  # it has its lock
        assert runner.transact(simulation.store) == 0
    assert client.attached(simulation.store) is None
    [settled] = [
        word for word in EventLogReader(simulation.paths).unread() if isinstance(word, Settled)
    ]
    assert settled.failure is not None
    assert (settled.outcome, settled.failure.code) == ("discarded", "disk-full")
    assert settled.failure.hint


def test_a_driver_without_room_for_its_lock_is_refused_and_started_again(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation = Simulation.at(scratch)
    open_ = client.begin(simulation.store, ATTEMPT, NEW, fresh=True)
    simulation.store.save(replace(open_, state=State.ARM))
    Path(simulation.paths.txn_lock).unlink(missing_ok=True)
    monkeypatch.setattr(files, "os", FullDisk(range(9)))
    with pytest.raises(Refused) as refused:
        runner.transact(simulation.store)
    assert (refused.value.failure.code, refused.value.failure.step) == ("disk-full", "arm")


def test_an_interruption_on_a_full_disk_comes_with_what_to_do(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation = Simulation.at(scratch)
    open_ = client.begin(simulation.store, ATTEMPT, NEW, fresh=True)
    context = EffectContext(simulation.store, lambda _: None, Redactor(simulation.paths))
    interrupted = Failure("interrupted", "the deploy was interrupted", "arm")
    monkeypatch.setattr(files, "os", FullDisk(range(1000)))
    moved = runner.fail(context, open_, interrupted)
    assert moved.failure is not None
    assert "disk-full" in moved.failure.what
    assert moved.failure.hint


def test_the_late_last_word_of_the_transaction_before_is_not_taken_for_the_present_one_s(
    scratch: Path,
) -> None:
    simulation = Simulation.at(scratch)
    client.begin(simulation.store, ATTEMPT, NEW, fresh=True)
    say = EventLogWriter(simulation.paths)
    say(Settled("before", Result.ROLLED_BACK, OLD))
    say(Healthy("now", NEW))
    assert next(client.follow(simulation.store)) == Healthy("now", NEW)


def test_the_units_of_a_running_release_whose_manifest_is_lost_go_with_it(scratch: Path) -> None:
    paths = Paths("app", str(scratch / "opt"), str(scratch / "var"), str(scratch / "units"))
    units = Path(paths.release(OLD).units)
    units.mkdir(parents=True)
    for name in ("app-web@r1.service", "app-web.socket", "README"):
        (units / name).touch()
    history.append(paths, history.Entry("t1", "deploy", OLD, "1", "", "committed", "dev", "now"))
    opened = client.begin(Store(paths, Machine(paths)), ATTEMPT, NEW, fresh=True)
    assert (opened.previous, opened.strays) == (OLD, ("app-web.socket", "app-web@r1.service"))

"""A committed release is looked at until its watch ends; what fails is reported or rolled back."""

from __future__ import annotations

import errno
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fake_deploy import Simulation, manifest
from fake_machine import Killed, Machine
from shipit.agent.protocol.answers import BY_WATCH, WatchFailure, WatchState
from shipit.agent.protocol.hooks import ON_ROLLBACK, Hook
from shipit.agent.protocol.manifest import REPORT, ROLLBACK, Watch
from shipit.agent.protocol.messages import Attempt, StepFailed
from shipit.agent.protocol.migrations import APPLIED
from shipit.agent.records import history, holds, migrations, watches
from shipit.agent.records.watches import Findings
from shipit.agent.server import status
from shipit.agent.system import files
from shipit.agent.system.failures import Refused
from shipit.agent.system.process import Done
from shipit.agent.watch import rollback, watcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from shipit.agent.records.watches import Watched
    from shipit.agent.system.paths import Paths
    from shipit.agent.transaction.store import Store

REPORTED = Watch(600.0, 30.0)
ROLLED_BACK = Watch(600.0, 30.0, on_failure=ROLLBACK)


def deployed(scratch: Path, watch: Watch | None, *, before: Watch | None = None) -> Simulation:
    """Return a host whose release r2 is watched, after r1."""
    simulation = Simulation.at(scratch)
    simulation.deploy(manifest(simulation.paths, "r1", watch=before))
    simulation.deploy(manifest(simulation.paths, "r2", watch=watch))
    return simulation


def shown(simulation: Simulation) -> WatchState:
    found = status.gather(simulation.store, verify=False).watch
    assert found is not None
    return found


def rollbacks(simulation: Simulation) -> list[str]:
    return [e.release for e in history.entries(simulation.paths) if e.who == BY_WATCH]


def looks(simulation: Simulation) -> int:
    return sum("GET" in call for call in simulation.machine.calls)


def test_a_healthy_release_is_looked_at_until_the_watch_ends(tmp_path: Path) -> None:
    simulation = deployed(tmp_path, REPORTED)
    before = looks(simulation)
    simulation.watch()
    assert looks(simulation) - before == 20 + 1
    assert not simulation.machine.watches
    assert shown(simulation) == replace(shown(simulation), checked=True, found=None, done="")
    assert simulation.head == "r2"


def test_a_release_without_a_watch_has_no_unit_and_ends_that_of_the_release_before(
    tmp_path: Path,
) -> None:
    simulation = deployed(tmp_path, None, before=REPORTED)
    assert not Path(simulation.paths.watch_unit).exists()
    assert not Path(simulation.paths.watch).exists()
    assert not simulation.machine.watches
    assert status.gather(simulation.store, verify=False).watch is None


def test_a_failure_that_stays_is_reported_with_its_check_and_evidence(tmp_path: Path) -> None:
    simulation = deployed(tmp_path, REPORTED)
    simulation.machine.sick.add("r2")
    simulation.watch()
    state = shown(simulation)
    assert state.found is not None
    assert "GET http://127.0.0.1:8000/healthz: expected status 200, got 500" in state.found.what
    assert "(3 of the last 3 looks)" in state.found.what
    assert "the log of app-web.service" in state.found.evidence
    assert (state.found.until, state.found.at_boot) == ("", False)
    assert state.done == "it is only reported"
    assert state.needs_operator
    assert rollbacks(simulation) == []


def test_a_few_bad_looks_that_pass_are_no_failure(tmp_path: Path) -> None:
    simulation = deployed(tmp_path, REPORTED)
    machine, seen = simulation.machine, looks(simulation)

    def ill_at_times() -> None:
        machine.sick = {"r2"} if looks(simulation) - seen in (1, 2, 14, 15) else set()

    machine.idle.append(ill_at_times)
    simulation.watch()
    assert shown(simulation).found is None  # never three of ten


def sick_for(simulation: Simulation, number: int) -> None:
    """Let the next looks be bad, so many and no more."""
    machine, seen = simulation.machine, looks(simulation)

    def ill_at_first() -> None:
        machine.sick = {"r2"} if looks(simulation) - seen <= number else set()

    machine.idle.append(ill_at_first)
    machine.sick.add("r2")


def test_a_failure_that_has_ended_says_when(tmp_path: Path) -> None:
    simulation = deployed(tmp_path, REPORTED)
    sick_for(simulation, 4)
    simulation.watch()
    found = shown(simulation).found
    assert found is not None
    assert found.since < found.until
    assert not shown(simulation).needs_operator


def test_a_restart_counts_for_one_look_and_a_few_are_a_failure(tmp_path: Path) -> None:
    simulation = deployed(tmp_path, REPORTED)
    machine = simulation.machine
    web = machine.running["app-web.service"]
    crashes = [1]

    def crash() -> None:
        if crashes:
            crashes.pop()
            web.restarts += 1

    machine.idle.append(crash)
    simulation.watch()
    assert shown(simulation).found is None
    simulation.deploy(manifest(simulation.paths, "r3", watch=REPORTED))
    web, crashes[:] = machine.running["app-web.service"], [1] * 3
    simulation.watch()
    found = shown(simulation).found
    assert found is not None
    assert found.code == "unit-failed"


def test_a_failing_release_is_rolled_back_once_and_held(tmp_path: Path) -> None:
    simulation = deployed(tmp_path, ROLLED_BACK, before=ROLLED_BACK)
    simulation.machine.sick.add("r2")
    simulation.watch()
    simulation.assert_serves("r1")
    simulation.assert_nothing_is_left()
    assert rollbacks(simulation) == ["r1"]
    top = history.head(history.entries(simulation.paths))
    assert top is not None
    assert (top.what, top.previous) == ("rollback", "r2")
    assert "expected status 200, got 500" in top.reason
    (hold,) = holds.now_standing(simulation.paths, history.entries(simulation.paths), 0.0)
    assert hold.release == "r2"
    assert hold.why.startswith("rolled back by the host's watch: [check-failed]")
    state = shown(simulation)
    assert state.left.startswith("r2: [check-failed]")
    assert state.needs_operator


def test_a_release_that_was_rolled_back_to_is_only_reported_on(tmp_path: Path) -> None:
    simulation = Simulation.at(tmp_path)
    for release in ("r0", "r1", "r2"):
        simulation.deploy(manifest(simulation.paths, release, watch=ROLLED_BACK))
    simulation.machine.sick.add("r2")
    simulation.watch()
    simulation.machine.sick.add("r1")
    simulation.watch()
    simulation.assert_serves("r1")
    assert rollbacks(simulation) == ["r1"]
    assert "does not roll back twice" in shown(simulation).done


def test_a_rollback_past_an_irreversible_migration_is_only_reported(tmp_path: Path) -> None:
    simulation = deployed(tmp_path, ROLLED_BACK)
    paths, made = simulation.paths, manifest(simulation.paths, "r2")
    attempt = Attempt("t9", "deploy", "dev@laptop", 1, "2026-01-01T00:00:00Z")
    line = migrations.line(made, APPLIED, attempt, simulation.machine.wall_time)
    migrations.append(paths, replace(line, reversible=False))
    simulation.machine.sick.add("r2")
    simulation.watch()
    simulation.assert_serves("r2")
    assert "past an irreversible migration (r2)" in shown(simulation).done


@pytest.mark.parametrize("busy", ["session", "stuck"])
def test_nothing_is_rolled_back_while_a_lock_is_held_or_a_transaction_is_open(
    tmp_path: Path, busy: str
) -> None:
    simulation = deployed(tmp_path, ROLLED_BACK)
    simulation.machine.sick.add("r2")
    before = looks(simulation)
    attempt = Attempt("t9", "deploy", "dev@laptop", 1, "2026-01-01T00:00:00Z")
    if busy == "stuck":
        Path(simulation.paths.journal).write_text("torn")
        simulation.watch()
    else:
        with simulation.store.session(attempt):
            watcher.run(simulation.store)
    assert rollbacks(simulation) == []
    assert shown(simulation).found is None
    assert looks(simulation) == before


def test_a_transaction_that_has_just_been_opened_goes_first(tmp_path: Path) -> None:
    simulation = deployed(tmp_path, ROLLED_BACK)
    watched = watches.load(simulation.paths)
    assert watched is not None
    Path(simulation.paths.journal).write_text("torn")
    failure = WatchFailure("check-failed", "no answer", "", "", "2026-11-30T18:00:00Z")
    with pytest.raises(files.Locked):
        rollback.begin(simulation.store, watched, failure, "t9", "r1")
    assert Path(simulation.paths.journal).read_text() == "torn"


def test_a_rollback_that_was_given_up_before_its_switch_is_not_tried_again(tmp_path: Path) -> None:
    simulation = deployed(tmp_path, ROLLED_BACK)
    watches.note(simulation.paths, Findings("t2", rollback="t9", target="r1"))
    given_up = ("t9", "rollback", "r1", "r1", "r2", "discarded", BY_WATCH, "2026-11-30T18:00:00Z")
    history.append(simulation.paths, history.Entry(*given_up))
    simulation.machine.sick.add("r2")
    simulation.watch()
    simulation.assert_serves("r2")
    assert "to r1 was given up before its switch" in shown(simulation).done


def test_a_rollback_whose_launch_is_refused_is_begun_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation = deployed(tmp_path, ROLLED_BACK)
    machine, seen = simulation.machine, looks(simulation)
    started: list[str] = []

    def refused(unit: str, *_: object, **__: object) -> Done:
        started.append(unit)
        return Done(1, "no")

    def ill_twice() -> None:
        machine.sick = set() if 4 <= looks(simulation) - seen <= 15 else {"r2"}

    monkeypatch.setattr(machine, "start_driver", refused)
    machine.idle.append(ill_twice)
    machine.sick.add("r2")
    watcher.run(simulation.store)
    found = shown(simulation).found
    assert found is not None
    assert not found.until  # it is the second failure
    assert len(started) == 1
    assert simulation.outcomes[2:] == ["discarded"]


def test_a_clock_that_was_ahead_at_the_commit_is_no_reason_to_alarm(tmp_path: Path) -> None:
    simulation = Simulation.at(tmp_path)
    simulation.machine.jump = 1e6
    simulation.deploy(manifest(simulation.paths, "r2", watch=REPORTED))
    simulation.machine.jump = 0.0
    simulation.watch()
    assert shown(simulation).runs
    assert not shown(simulation).needs_operator


def test_a_clock_that_was_set_back_makes_no_watch_longer(tmp_path: Path) -> None:
    simulation = deployed(tmp_path, REPORTED)
    before, simulation.machine.jump = looks(simulation), -1e6
    simulation.watch()
    assert looks(simulation) - before == 20 + 1


def test_on_rollback_hooks_of_the_release_that_is_left_run(tmp_path: Path) -> None:
    simulation = Simulation.at(tmp_path)
    simulation.deploy(manifest(simulation.paths, "r1"))
    left = Hook("left", ON_ROLLBACK, ("/bin/true", "left"), 60.0, "root", "/")
    once = Hook("once", ON_ROLLBACK, ("/bin/true", "once"), 60.0, "root", "/", once=True)
    made = manifest(simulation.paths, "r2", watch=ROLLED_BACK, hooks=(left, once))
    simulation.deploy(made)
    simulation.machine.sick.add("r2")
    simulation.watch()
    assert simulation.machine.ran == ["/bin/true left"]  # nobody was elected


# --- at boot -----------------------------------------------------------------------------------


def rebooted(simulation: Simulation, *, after: float = 0.0) -> Simulation:
    simulation.watch()
    simulation.machine.clock += after
    simulation._lives(simulation._boot)
    return simulation


def test_a_boot_is_checked_once_after_the_deadline_of_the_gate(tmp_path: Path) -> None:
    simulation = rebooted(deployed(tmp_path, REPORTED), after=9000.0)
    assert simulation.machine.watches
    assert not shown(simulation).checked
    began, before = simulation.machine.clock, looks(simulation)
    simulation.watch()
    assert looks(simulation) - before == 1
    assert simulation.machine.clock - began >= 5.0
    assert shown(simulation).checked


def test_a_release_that_does_not_come_up_is_reported_at_boot(tmp_path: Path) -> None:
    simulation = rebooted(deployed(tmp_path, ROLLED_BACK), after=9000.0)
    simulation.machine.sick.add("r2")
    simulation.watch()
    state = shown(simulation)
    assert state.found is not None
    assert state.found.at_boot
    assert (state.done, state.checked) == ("it is only reported", True)


def test_it_is_rolled_back_at_boot_where_the_playbook_says_so(tmp_path: Path) -> None:
    wanted = Watch(0.0, 30.0, on_failure=REPORT, at_boot=ROLLBACK)
    simulation = rebooted(deployed(tmp_path, wanted), after=9000.0)
    simulation.machine.sick.add("r2")
    simulation.watch()
    simulation.assert_serves("r1")
    assert rollbacks(simulation) == ["r1"]


def test_a_reboot_amid_the_watch_does_not_end_it(tmp_path: Path) -> None:
    simulation = deployed(tmp_path, ROLLED_BACK)
    simulation._lives(simulation._boot)
    machine, seen = simulation.machine, looks(simulation)

    def ill_later() -> None:
        machine.sick = {"r2"} if looks(simulation) - seen >= 2 else set()

    machine.idle.append(ill_later)
    simulation.watch()
    assert rollbacks(simulation) == ["r1"]


def test_a_boot_is_judged_anew_whatever_was_found_before_it(tmp_path: Path) -> None:
    simulation = deployed(tmp_path, Watch(600.0, 30.0, at_boot=ROLLBACK))
    simulation.machine.sick.add("r2")
    simulation.watch()
    assert simulation.head == "r2"
    rebooted(simulation, after=9000.0)
    simulation.watch()
    simulation.assert_serves("r1")


def test_a_failure_at_boot_that_passes_later_is_over_for_status(tmp_path: Path) -> None:
    simulation = rebooted(deployed(tmp_path, REPORTED), after=9000.0)
    sick_for(simulation, 8)
    simulation.watch()
    found = shown(simulation).found
    assert found is not None
    assert found.at_boot
    assert found.until
    assert not shown(simulation).needs_operator


def test_a_failure_that_stays_is_looked_at_for_an_hour_and_again_by_hand(tmp_path: Path) -> None:
    simulation = rebooted(deployed(tmp_path, REPORTED), after=9000.0)
    machine = simulation.machine
    machine.sick.add("r2")
    began = machine.clock
    simulation.watch()
    assert 3600.0 < machine.clock - began < 3800.0
    assert shown(simulation).runs
    assert shown(simulation).ended
    assert shown(simulation).needs_operator
    machine.sick.clear()
    machine.watches = True  # systemctl restart
    simulation.watch()
    assert not shown(simulation).needs_operator


def test_a_boot_is_checked_though_a_session_is_under_way_at_its_first_look(tmp_path: Path) -> None:
    simulation = rebooted(deployed(tmp_path, REPORTED), after=9000.0)
    attempt = Attempt("t9", "deploy", "dev@laptop", 1, "2026-01-01T00:00:00Z")
    session = ExitStack()
    session.enter_context(simulation.store.session(attempt))
    ends = simulation.machine.clock + 60.0

    def over() -> None:
        if simulation.machine.clock > ends:
            session.close()

    simulation.machine.idle.append(over)
    simulation.watch()
    assert shown(simulation).checked
    assert not shown(simulation).needs_operator


def test_a_boot_that_cannot_be_checked_is_given_up_and_reported(tmp_path: Path) -> None:
    simulation = rebooted(deployed(tmp_path, REPORTED), after=9000.0)
    Path(simulation.paths.journal).write_text("torn")
    assert watcher.run(simulation.store).startswith("gave up after ")
    simulation.machine.watches = False
    state = shown(simulation)
    assert (state.checked, state.runs, state.needs_operator) == (False, False, True)


@pytest.mark.parametrize("note", [2, 3])
def test_a_rollback_at_boot_is_not_lost_where_the_watch_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, note: int
) -> None:
    """It is killed once the failure is written down, or the target as well."""
    simulation = rebooted(deployed(tmp_path, Watch(0.0, 30.0, at_boot=ROLLBACK)), after=9000.0)
    simulation.machine.sick.add("r2")
    notes, write = [note], watches.note

    def killed_after(paths: Paths, known: Findings) -> Findings:
        notes[0] -= 1
        written = write(paths, known)
        if notes[0] == 1:
            raise Killed
        return written

    monkeypatch.setattr(watches, "note", killed_after)
    simulation._lives(simulation._watched)
    assert simulation.head == "r2"
    assert shown(simulation).done.startswith("it will be rolled back to ")
    simulation.watch()
    simulation.assert_serves("r1")
    assert rollbacks(simulation) == ["r1"]


def test_a_rollback_waits_for_a_deploy_that_has_just_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation = rebooted(deployed(tmp_path, Watch(0.0, 30.0, at_boot=ROLLBACK)), after=9000.0)
    simulation.machine.sick.add("r2")
    refused, begin = [simulation.paths.session_lock], rollback.begin

    def locked_at_first(
        store: Store, of: Watched, found: WatchFailure, txn: str, target: str
    ) -> None:
        if refused:
            raise files.Locked(refused.pop())
        begin(store, of, found, txn, target)

    monkeypatch.setattr(rollback, "begin", locked_at_first)
    simulation.watch()
    simulation.assert_serves("r1")


# --- what may go wrong -------------------------------------------------------------------------


def test_a_commit_that_is_resumed_goes_on_with_its_watch(tmp_path: Path) -> None:
    simulation = deployed(tmp_path, REPORTED)
    first = watches.load(simulation.paths)
    assert first is not None
    simulation.machine.clock += 100.0
    watches.begin(simulation.paths, replace(first, began=simulation.machine.wall_time))
    assert watches.load(simulation.paths) == first


def test_a_watch_that_has_ended_too_early_is_reported(tmp_path: Path) -> None:
    simulation = deployed(tmp_path, REPORTED)
    assert shown(simulation).runs
    simulation.machine.watches = False
    assert not shown(simulation).runs
    assert shown(simulation).needs_operator
    simulation.machine.clock += 601.0
    assert shown(simulation).runs


def test_a_rollback_that_has_failed_is_not_tried_again_and_the_watch_goes_on(
    tmp_path: Path,
) -> None:
    simulation = deployed(tmp_path, Watch(600.0, 30.0, ROLLBACK, ROLLBACK))
    simulation.machine.sick |= {"r1", "r2"}
    simulation.watch()
    assert simulation.state == "stuck"
    assert "to r1 has failed, and the host is stuck" in shown(simulation).done
    simulation.machine.sick.clear()
    simulation.hello()  # the rollback is tried again by the next session
    simulation.assert_serves("r2")
    rebooted(simulation, after=9000.0)
    simulation.machine.sick.add("r2")
    simulation.watch()
    simulation.assert_serves("r2")
    assert rollbacks(simulation) == ["r1", "r1"]  # one attempt, with its two ends
    assert shown(simulation).checked


def test_a_full_disk_is_an_error_that_systemd_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation = deployed(tmp_path, REPORTED)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(watches, "note", full)
    with pytest.raises(Refused) as refused:
        watcher.run(simulation.store)
    assert refused.value.failure.code == "disk-full"


def test_a_watch_that_cannot_be_started_is_reported_and_the_release_stays_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Machine, "_start_one", refusing(Machine._start_one))
    simulation = deployed(tmp_path, REPORTED)
    said = [m.failure.code for m in simulation.store.events().unread() if isinstance(m, StepFailed)]
    assert said == ["watch-not-started"]
    assert simulation.head == "r2"
    simulation.assert_serves("r2")
    simulation.assert_nothing_is_left()


def refusing(start: Callable[[Machine, str], bool]) -> Callable[[Machine, str], bool]:
    return lambda machine, name: not name.startswith("shipit-watch@") and start(machine, name)

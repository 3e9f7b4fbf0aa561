"""Migrations in a transaction, on the fake machine: recorded, run once, reported if they stay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fake_deploy import Simulation, manifest
from fake_machine import Fault, Killed
from fault_scenarios import NEW, OLD, migrated_upgrade, prepared
from shipit.agent.protocol.hooks import OK, Hook
from shipit.agent.protocol.messages import Failure, StepFailed
from shipit.agent.protocol.migrations import (
    ABANDONED,
    AGAIN,
    APPLIED,
    BEGUN,
    FAILED,
    KNOWN,
    Migration,
    MigrationLine,
    is_applied,
    passed,
    unfinished,
)
from shipit.agent.records import history, migrations
from shipit.agent.system import files
from shipit.agent.system.failures import Refused
from shipit.agent.system.process import Done
from shipit.agent.transaction import client
from shipit.agent.transaction.hooks import command, migration
from unit.agent.transaction.hooks.test_points import interrupt

if TYPE_CHECKING:
    from collections.abc import Callable

    from shipit.agent.host.transient import Command
    from shipit.agent.protocol.manifest import Manifest
    from shipit.agent.system.paths import Paths

COMMAND = Hook("migration", "before_activate", ("/bin/true", "up"), 60.0, "root", "/", once=True)


@pytest.fixture
def upgraded(tmp_path: Path) -> Simulation:
    """Give a machine that runs the old release, and is elected."""
    simulation = prepared(tmp_path, migrated_upgrade)
    simulation.is_elected = True
    return simulation


def release(simulation: Simulation, name: str = NEW, *, reversible: bool = True) -> Manifest:
    migration = Migration(COMMAND, ("/bin/true", "pending"), reversible)
    return replace(manifest(simulation.paths, name), migration=migration)


def states(simulation: Simulation) -> list[str]:
    return [line.state for line in migrations.lines(simulation.paths)]


def ran(simulation: Simulation) -> list[str]:
    return [words.split()[1] for words in simulation.machine.ran]


def reported(simulation: Simulation) -> list[Failure]:
    followed = list(client.follow(simulation.store))
    return [message.failure for message in followed if isinstance(message, StepFailed)]


def test_it_runs_before_the_switch_and_is_recorded(upgraded: Simulation) -> None:
    upgraded.deploy(release(upgraded))
    assert ran(upgraded) == ["pending", "up"]
    assert states(upgraded) == [BEGUN, APPLIED]
    assert upgraded.head == NEW
    calls = upgraded.machine.calls
    migrated = next(i for i, call in enumerate(calls) if call.endswith("/bin/true up"))
    assert migrated < next(i for i, call in enumerate(calls) if "install app-web" in call)


def test_only_the_elected_host_migrates_and_the_others_record_the_commit(
    upgraded: Simulation,
) -> None:
    upgraded.is_elected = False
    upgraded.deploy(release(upgraded))
    assert ran(upgraded) == []
    assert states(upgraded) == [APPLIED]


def test_it_is_on_the_disk_before_it_starts(
    upgraded: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: str, line: bytes, mode: int = 0) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "append_line", full)
    upgraded.deploy(release(upgraded))
    assert "up" not in ran(upgraded)
    assert upgraded.head in (OLD, "")
    monkeypatch.undo()
    assert files.read_json_lines(upgraded.paths.migrations) == []


def test_one_that_was_applied_is_not_run_again_unless_it_is_asked_for(
    upgraded: Simulation,
) -> None:
    upgraded.machine.sick.add(NEW)
    upgraded.deploy(release(upgraded))
    assert upgraded.outcomes[-1] == "rolled_back"
    upgraded.machine.sick.clear()
    upgraded.deploy(release(upgraded))
    assert ran(upgraded) == ["pending", "up"]
    assert upgraded.head == NEW
    upgraded.options = (AGAIN,)
    upgraded.deploy(release(upgraded))
    assert ran(upgraded) == ["pending", "up"] * 2


def test_one_that_another_host_has_applied_is_not_run(upgraded: Simulation) -> None:
    upgraded.options = (KNOWN,)
    upgraded.deploy(release(upgraded))
    assert ran(upgraded) == []
    assert upgraded.head == NEW


@pytest.mark.parametrize("word", ["up", "pending"])
def test_one_that_fails_stops_the_deploy_and_runs_in_the_next(
    upgraded: Simulation, word: str
) -> None:
    upgraded.machine.ends[word] = 3
    upgraded.deploy(release(upgraded))
    assert upgraded.outcomes[-1] == "discarded"
    assert upgraded.failure().code == "hook-failed"
    assert states(upgraded) == ([BEGUN, FAILED] if word == "up" else [])
    upgraded.assert_serves(OLD)
    upgraded.machine.ends.clear()
    upgraded.deploy(release(upgraded))
    assert upgraded.head == NEW


def test_one_that_takes_too_long_stays_unfinished(upgraded: Simulation) -> None:
    real = upgraded.machine.run_as

    def late(command, **rest):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN003, ANN202
        done = real(command, **rest)
        return Done(-9, "", timed_out=True) if command.argv[1] == "up" else done

    upgraded.machine.run_as = late  # type: ignore[method-assign]
    upgraded.deploy(release(upgraded))
    assert states(upgraded) == [BEGUN]
    assert upgraded.failure().code == "hook-timeout"
    assert "migration-unfinished" in upgraded.failure().what


def test_one_whose_end_nobody_has_seen_stays_unfinished(upgraded: Simulation) -> None:
    """When systemd-run loses the bus, it reports success for a command that runs on."""
    lost = Done(0, "migrating", lost=True)
    upgraded.machine.run_as = lambda *_, **__: lost  # type: ignore[method-assign]
    upgraded.deploy(replace(release(upgraded), migration=Migration(COMMAND)))
    assert states(upgraded) == [BEGUN]
    assert upgraded.outcomes[-1] == "discarded"


@pytest.mark.parametrize("fault", [Fault.KILL_AFTER, Fault.CUT_AFTER])
def test_one_that_was_interrupted_stops_the_next_deploy(upgraded: Simulation, fault: Fault) -> None:
    wanted = replace(release(upgraded), migration=Migration(COMMAND))
    interrupt(upgraded.machine, fault)
    upgraded.deploy(wanted)
    assert states(upgraded) == [BEGUN]
    assert upgraded.outcomes[-1] == "discarded"
    assert "migration-unfinished" in [failure.code for failure in reported(upgraded)]
    upgraded.deploy(wanted)
    assert ran(upgraded) == ["up"]
    assert upgraded.failure().code == "migration-unfinished"
    assert "--migrate-again" in upgraded.failure().hint
    upgraded.options = (AGAIN,)
    upgraded.deploy(wanted)
    assert ran(upgraded) == ["up", "up"]
    assert states(upgraded) == [BEGUN, BEGUN, APPLIED]
    assert upgraded.head == NEW


def test_an_operator_may_go_on_without_an_unfinished_one(upgraded: Simulation) -> None:
    interrupt(upgraded.machine, Fault.KILL_AFTER)
    upgraded.deploy(replace(release(upgraded), migration=Migration(COMMAND)))
    upgraded.options = (AGAIN,)
    upgraded.deploy(manifest(upgraded.paths, "r3"))
    assert states(upgraded) == [BEGUN, ABANDONED]


def after(upgraded: Simulation, word: str, act: Callable[[], object]) -> list[str]:
    """Let something happen right after a command has ended; return the units of all."""
    real, units = upgraded.machine.run_as, []

    def run_as(command: Command, **rest: Any) -> Done:  # noqa: ANN401 - as it is called
        units.append(command.unit)
        done = real(command, **rest)
        if word in command.argv:
            act()
        return done

    upgraded.machine.run_as = run_as  # type: ignore[method-assign]
    return units


def test_it_does_not_begin_once_the_controller_is_lost(upgraded: Simulation) -> None:
    upgraded.lease = 0.0
    upgraded.deploy(release(upgraded))
    assert (ran(upgraded), states(upgraded)) == ([], [])
    assert upgraded.failure().code == "lease-expired"


def test_it_does_not_begin_if_the_controller_is_lost_while_pending_runs(
    upgraded: Simulation,
) -> None:
    after(upgraded, "pending", upgraded.store.end_lease)
    upgraded.deploy(release(upgraded))
    assert (ran(upgraded), states(upgraded)) == (["pending"], [])
    assert upgraded.failure().code == "lease-expired"


def test_pending_runs_in_a_unit_of_its_own(upgraded: Simulation) -> None:
    units = after(upgraded, "", lambda: None)
    upgraded.deploy(release(upgraded))
    assert units == ["", upgraded.paths.hook_unit]


@pytest.mark.parametrize(("status", "last"), [(137, BEGUN), (143, BEGUN), (255, FAILED)])
def test_one_that_a_signal_has_killed_stays_unfinished(
    upgraded: Simulation, status: int, last: str
) -> None:
    upgraded.machine.ends["up"] = status
    upgraded.deploy(release(upgraded))
    assert states(upgraded)[-1] == last
    assert f"exit status {status}" in upgraded.failure().what


@pytest.mark.parametrize(("code", "last"), [("no-user", FAILED), ("interrupted", BEGUN)])
def test_only_one_that_was_refused_before_its_start_has_failed(
    upgraded: Simulation, code: str, last: str
) -> None:
    def refuse() -> None:
        raise Refused(Failure(code, "refused", ""))

    after(upgraded, "up", refuse)
    upgraded.deploy(release(upgraded))
    assert states(upgraded)[-1] == last
    assert ("migration-unfinished" in upgraded.failure().what) == (last == BEGUN)


def fail_to_record(monkeypatch: pytest.MonkeyPatch, error: BaseException, *, late: bool) -> None:
    """Let an error hit the record of an end: before it is on the disk, or right after."""
    real = migrations.append

    def append(paths: Paths, line: MigrationLine) -> None:
        if late or line.state == BEGUN:
            real(paths, line)
        if line.state == APPLIED:
            monkeypatch.undo()
            raise error

    monkeypatch.setattr(migrations, "append", append)


def test_one_whose_end_cannot_be_recorded_is_unfinished_and_reported(
    upgraded: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_to_record(monkeypatch, OSError(28, "No space left on device"), late=False)
    upgraded.deploy(release(upgraded))
    assert states(upgraded) == [BEGUN]
    assert "migration-unfinished" in [failure.code for failure in reported(upgraded)]
    assert upgraded.outcomes[-1] == "discarded"


def test_one_that_was_recorded_before_a_crash_is_reported_as_applied(
    upgraded: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_to_record(monkeypatch, Killed(), late=True)
    upgraded.deploy(release(upgraded))
    assert states(upgraded) == [BEGUN, APPLIED]
    assert [failure.code for failure in reported(upgraded)] == ["migration-applied"]
    (ended,) = [line for lines in history.hooks(upgraded.paths).values() for line in lines]
    assert ended.outcome == OK


@pytest.mark.parametrize("elected", [True, False])
def test_a_host_with_an_unfinished_one_refuses_every_release(
    upgraded: Simulation, *, elected: bool
) -> None:
    interrupt(upgraded.machine, Fault.KILL_AFTER)
    upgraded.deploy(replace(release(upgraded), migration=Migration(COMMAND)))
    upgraded.is_elected = elected
    upgraded.deploy(release(upgraded) if not elected else manifest(upgraded.paths, "r3"))
    assert upgraded.failure().code == "migration-unfinished"
    assert upgraded.head in (OLD, "")


def test_a_lost_controller_does_not_interrupt_it(upgraded: Simulation) -> None:
    after(upgraded, "up", upgraded.store.end_lease)
    upgraded.deploy(release(upgraded))
    assert ran(upgraded) == ["pending", "up"]
    assert states(upgraded) == [BEGUN, APPLIED]
    assert upgraded.outcomes[-1] == "discarded"
    assert upgraded.failure().code == "lease-expired"


@pytest.mark.parametrize(("reversible", "word"), [(True, "STAYS APPLIED"), (False, "IRREVERSIBLE")])
def test_a_rollback_reports_that_it_stays(
    upgraded: Simulation, word: str, *, reversible: bool
) -> None:
    upgraded.machine.sick.add(NEW)
    upgraded.deploy(release(upgraded, reversible=reversible))
    upgraded.assert_serves(OLD)
    (failure,) = [each for each in reported(upgraded) if each.code == "migration-applied"]
    assert word in failure.what
    assert word in upgraded.failure().what


def test_what_is_pending_is_known_where_the_release_is(upgraded: Simulation) -> None:
    assert migration.pending(upgraded.store, NEW) is None
    upgraded.deploy(release(upgraded))
    assert migration.pending(upgraded.store, NEW) == "root in /\n"
    upgraded.machine.ends["pending"] = 2
    assert "ended with exit status 2" in str(migration.pending(upgraded.store, NEW))
    with Path(upgraded.paths.release(NEW).manifest).open("a") as changed:
        changed.write(" ")
    assert "was not run" in str(migration.pending(upgraded.store, NEW))


def test_a_plan_makes_no_directory(upgraded: Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
    upgraded.deploy(release(upgraded))
    monkeypatch.setattr(command, "_directories", lambda *_: pytest.fail("makes some"))
    assert migration.pending(upgraded.store, NEW) == "root in /\n"


# --- the rules -----------------------------------------------------------------------------------


def line(
    release: str, state: str, at: str = "2026-01-02", *, reversible: bool = False
) -> MigrationLine:
    return MigrationLine(release, "1", state, reversible=reversible, at=at)


def test_the_last_record_decides_what_is_unfinished() -> None:
    begun, applied = line("r1", BEGUN), line("r1", APPLIED)
    assert unfinished([]) is None
    assert unfinished([applied, begun]) == begun
    assert unfinished([begun, applied]) is None


def test_the_last_record_of_a_release_decides_whether_it_is_applied() -> None:
    lines = [line("r1-aa", APPLIED), line("r2", BEGUN)]
    assert is_applied(lines, "r1-aa")
    assert is_applied(lines, "r1-aa_2")  # another generation of it
    assert not is_applied(lines, "r2")
    assert not is_applied(lines, "r3")
    assert not is_applied([*lines, line("r1-aa", FAILED)], "r1-aa")


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([line("r2", APPLIED)], ["r2"]),
        ([line("r2", BEGUN)], ["r2"]),
        ([line("r2", BEGUN), line("r2", FAILED)], ["r2"]),
        ([line("r2", BEGUN), line("r2", ABANDONED)], ["r2"]),
        ([line("r2", APPLIED, reversible=True)], []),
        ([line("r2", APPLIED, at="2025-12-31")], []),  # before the target was committed
        ([line("r1", APPLIED)], []),  # its own
        ([line("r2", APPLIED), line("r3", APPLIED)], ["r2", "r3"]),
        ([], []),
    ],
)
def test_a_rollback_passes_what_was_applied_since(
    lines: list[MigrationLine], found: list[str]
) -> None:
    assert [each.release for each in passed(lines, "r1", "2026-01-01")] == found

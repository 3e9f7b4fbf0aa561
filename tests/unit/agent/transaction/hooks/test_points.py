"""Hooks in a transaction, on the fake machine: which run, what a failure does, and never twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fake_deploy import Simulation, manifest
from fake_machine import Fault
from fault_scenarios import HOOKED, NEW, OLD, hooked_rollback, hooked_upgrade, prepared
from shipit.agent.protocol.hooks import (
    AFTER_ACTIVATE,
    AFTER_COMMIT,
    BEFORE_ACTIVATE,
    BEFORE_COMMIT,
    OK,
    ON_HOST,
    ON_ROLLBACK,
    STAGED,
    Hook,
)
from shipit.agent.protocol.messages import Failure, StepFailed
from shipit.agent.records import history
from shipit.agent.system import files
from shipit.agent.system.failures import Refused
from shipit.agent.transaction import client, tidy
from shipit.agent.transaction.hooks.migration import INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fake_machine import Machine
    from shipit.agent.host.transient import Command
    from shipit.agent.protocol.hooks import HookLine
    from shipit.agent.system.process import Done
    from shipit.agent.transaction.journal import Journal


@pytest.fixture
def upgraded(tmp_path: Path) -> Simulation:
    """Give a machine that runs the old release."""
    return prepared(tmp_path, hooked_upgrade)


def ran(simulation: Simulation) -> list[str]:
    """Return the points of the hooks that came to their end, in order."""
    return [words.split()[1] for words in simulation.machine.ran]


def recorded(simulation: Simulation) -> list[HookLine]:
    return [line for lines in history.hooks(simulation.paths).values() for line in lines]


def reported(simulation: Simulation) -> list[Failure]:
    followed = list(client.follow(simulation.store))
    return [message.failure for message in followed if isinstance(message, StepFailed)]


def deploy(simulation: Simulation, found: Sequence[Hook] = HOOKED) -> None:
    simulation.deploy(manifest(simulation.paths, NEW, hooks=tuple(found)))


def only(when: str, place: str = "each") -> list[Hook]:
    return [hook for hook in HOOKED if (hook.when, hook.command[2]) == (when, place)]


def test_a_deploy_runs_all_hooks_in_order_and_records_them(upgraded: Simulation) -> None:
    hooked_upgrade(upgraded)
    expected = [when for when in ON_HOST if when != ON_ROLLBACK for _ in range(2)]
    assert ran(upgraded) == expected
    assert [line.when for line in recorded(upgraded)] == expected
    assert {line.outcome for line in recorded(upgraded)} == {OK}
    assert upgraded.outcomes[-1] == "committed"


def test_only_the_elected_host_runs_what_runs_once(upgraded: Simulation) -> None:
    deploy(upgraded)
    assert [words.split()[2] for words in upgraded.machine.ran] == ["each"] * 5


@pytest.mark.parametrize(
    ("when", "outcome"),
    [
        (STAGED, "discarded"),
        (BEFORE_ACTIVATE, "discarded"),
        (AFTER_ACTIVATE, "rolled_back"),
        (BEFORE_COMMIT, "rolled_back"),
        (AFTER_COMMIT, "committed"),
    ],
)
def test_a_failed_hook_ends_its_phase(upgraded: Simulation, when: str, outcome: str) -> None:
    upgraded.machine.ends[when] = 3
    deploy(upgraded)
    assert upgraded.outcomes[-1] == outcome
    upgraded.assert_serves(NEW if outcome == "committed" else OLD)
    failed = [line for line in recorded(upgraded) if line.outcome != OK]
    assert [(line.when, line.outcome) for line in failed] == [(when, "ended with exit status 3")]
    if outcome != "committed" and when != STAGED:
        assert upgraded.failure().code == "hook-failed"
        assert when in upgraded.failure().what


def test_after_a_hook_that_failed_the_others_of_its_point_do_not_run(upgraded: Simulation) -> None:
    upgraded.machine.ends["each"] = 3
    upgraded.is_elected = True
    deploy(upgraded, [*only(AFTER_ACTIVATE), *only(AFTER_ACTIVATE, "once"), *only(ON_ROLLBACK)])
    assert ran(upgraded) == [AFTER_ACTIVATE, ON_ROLLBACK]


def test_a_hook_after_the_commit_is_reported_and_the_others_still_run(
    upgraded: Simulation,
) -> None:
    upgraded.machine.ends["each"] = 3
    upgraded.is_elected = True
    deploy(upgraded, [*only(AFTER_COMMIT), *only(AFTER_COMMIT, "once")])
    assert [failure.code for failure in reported(upgraded)] == ["hook-failed"]
    assert ran(upgraded) == [AFTER_COMMIT] * 2
    assert upgraded.outcomes[-1] == "committed"


def test_a_failed_hook_never_stops_a_rollback(upgraded: Simulation) -> None:
    upgraded.machine.sick.add(NEW)
    upgraded.machine.ends[ON_ROLLBACK] = 3
    deploy(upgraded)
    assert upgraded.outcomes[-1] == "rolled_back"
    assert ran(upgraded)[-1] == ON_ROLLBACK
    assert "hook-failed" in [failure.code for failure in reported(upgraded)]


def test_a_rollback_by_an_operator_runs_only_on_rollback_of_what_it_leaves(
    tmp_path: Path,
) -> None:
    simulation = prepared(tmp_path, hooked_rollback)
    hooked_rollback(simulation)
    assert ran(simulation) == [ON_ROLLBACK] * 2
    assert simulation.head == NEW


def test_a_lease_that_ends_interrupts_a_hook(upgraded: Simulation) -> None:
    upgraded.lease = 0.0
    deploy(upgraded, only(BEFORE_ACTIVATE))
    assert upgraded.outcomes[-1] == "discarded"
    assert ran(upgraded) == []
    (line,) = recorded(upgraded)
    assert "lease-expired" in line.outcome


def test_a_user_who_does_not_exist_fails_the_hook(upgraded: Simulation) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise Refused(Failure("no-user", "there is no user nobody2", ""))

    upgraded.machine.run_as = refuse  # type: ignore[method-assign, assignment]
    deploy(upgraded, only(AFTER_ACTIVATE))
    assert upgraded.failure().code == "no-user"
    assert upgraded.outcomes[-1] == "rolled_back"


def interrupt(machine: Machine, fault: Fault) -> None:
    """Let a fault hit the next command of the app, and only that."""
    real = machine.run_as

    def hit(command: Command, **rest: Any) -> Done:  # noqa: ANN401 - as it is called
        machine.run_as = real  # type: ignore[method-assign]
        machine.faults = {len(machine.calls): fault}
        return real(command, **rest)

    machine.run_as = hit  # type: ignore[method-assign]


@pytest.mark.parametrize("when", [AFTER_COMMIT, ON_ROLLBACK])
@pytest.mark.parametrize("fault", [Fault.KILL_BEFORE, Fault.KILL_AFTER, Fault.CUT_AFTER])
def test_an_interrupted_hook_is_stopped_reported_and_not_run_again(
    upgraded: Simulation, when: str, fault: Fault
) -> None:
    upgraded.machine.sick.update({NEW} if when == ON_ROLLBACK else ())
    interrupt(upgraded.machine, fault)
    deploy(upgraded, only(when))
    assert len(ran(upgraded)) == (fault is not Fault.KILL_BEFORE)
    (line,) = recorded(upgraded)
    assert (line.when, line.outcome) == (when, INTERRUPTED)
    stopped = f"stop {upgraded.paths.hook_unit}"
    assert any(call.endswith(stopped) for call in upgraded.machine.calls)
    assert "hook-interrupted" in [failure.code for failure in reported(upgraded)]
    assert upgraded.outcomes[-1] == ("committed" if when == AFTER_COMMIT else "rolled_back")
    upgraded.assert_nothing_is_left()


@pytest.mark.parametrize("when", [STAGED, BEFORE_ACTIVATE, AFTER_ACTIVATE, BEFORE_COMMIT])
def test_a_deploy_whose_hook_was_interrupted_is_taken_back(upgraded: Simulation, when: str) -> None:
    interrupt(upgraded.machine, Fault.KILL_AFTER)
    deploy(upgraded, only(when))
    upgraded.hello()
    assert ran(upgraded) == [when]
    is_early = when in (STAGED, BEFORE_ACTIVATE)
    assert upgraded.outcomes[-1] == ("discarded" if is_early else "rolled_back")
    upgraded.assert_serves(OLD)
    assert [line.outcome for line in recorded(upgraded)] == [INTERRUPTED]


def test_a_hook_that_cannot_be_written_down_does_not_run(
    upgraded: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = files.write

    def full(path: str, content: bytes, *rest: int, **more: bool) -> None:
        if path == upgraded.paths.journal and b'"hooks": {\n  "0"' in content:
            raise OSError(28, "No space left on device")
        real(path, content, *rest, **more)

    monkeypatch.setattr(files, "write", full)
    deploy(upgraded, only(AFTER_ACTIVATE))
    assert ran(upgraded) == []
    assert upgraded.outcomes[-1] == "rolled_back"
    deploy(upgraded, only(AFTER_COMMIT))
    assert ran(upgraded) == []
    assert upgraded.outcomes[-1] == "committed"


def test_hooks_of_a_rollback_run_once_even_if_what_follows_them_is_tried_again(
    upgraded: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[bool] = []

    def full(_paths: object, open_: Journal, **_: bool) -> None:
        tried.append(open_.clean)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tidy, "after_undoing", full)
    upgraded.machine.sick.add(NEW)
    deploy(upgraded, only(ON_ROLLBACK))
    assert len(tried) > 1
    assert ran(upgraded) == [ON_ROLLBACK]
    assert all(tried)

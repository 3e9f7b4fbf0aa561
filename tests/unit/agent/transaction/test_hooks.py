"""Hooks in a transaction, on the fake machine: which run, what a failure does, and never twice."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from fake_deploy import Simulation, manifest
from fake_machine import Fault
from fault_scenarios import HOOKED, NEW, OLD, hooked_rollback, hooked_upgrade, prepared
from shipit.agent.host import host, marked
from shipit.agent.host.transient import Command
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
    HookOutput,
)
from shipit.agent.protocol.messages import Failure, StepFailed
from shipit.agent.records import history, releases
from shipit.agent.system import files, process
from shipit.agent.system.failures import Refused
from shipit.agent.system.process import Done
from shipit.agent.transaction import client, hooks, tidy
from shipit.agent.transaction.hooks import INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fake_machine import Machine
    from shipit.agent.protocol.hooks import HookLine
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


@pytest.mark.parametrize(("what", "named"), [("deploy", "of r1"), ("rollback", "of r2")])
def test_an_interrupted_hook_is_named_as_in_the_release_that_has_it(
    monkeypatch: pytest.MonkeyPatch, what: str, named: str
) -> None:
    """The hooks of a rollback are those of the release that is left."""

    def manifest(_: object, release: str) -> Any:  # noqa: ANN401 - stands in for one
        return SimpleNamespace(hooks=(Hook(f"of {release}", ON_ROLLBACK, (), 1.0, "", "/"),))

    monkeypatch.setattr(releases, "manifest", manifest)
    attempt = SimpleNamespace(what=what)
    open_: Any = SimpleNamespace(release="r1", previous="r2", attempt=attempt)
    paths: Any = None
    assert hooks._hook(paths, open_, "0").name == named


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


# --- output and environment ----------------------------------------------------------------------


def passed_on(*chunks: bytes) -> list[str]:
    heard: list[HookOutput] = []
    output = marked.Output(heard.append, "warm", "the-end")
    for chunk in chunks:
        output(chunk)
    output.end()
    return [message.text for message in heard]


def test_output_is_passed_on_in_whole_lines() -> None:
    assert passed_on(b"one\ntw", b"o\nthree") == ["one", "two", "three"]
    assert passed_on() == []


def test_the_mark_of_its_end_is_not_shown() -> None:
    assert passed_on(b"one\ntwothe-end 0\n") == ["one\ntwo"]
    assert passed_on(b"the-end 0\n") == []
    assert passed_on(b"x" * 4095 + b"the-", b"end 0\n") == ["x" * 4095]


def test_a_line_is_not_cut_in_a_secret() -> None:
    secret = b"kV3" * 3_500
    chunks = [secret[start : start + 1000] for start in range(0, len(secret), 1000)]
    assert passed_on(*chunks, b"\n") == [secret.decode()]


def test_of_very_much_output_the_beginning_is_passed_on_in_whole_lines() -> None:
    shown = passed_on(*[b"y" * 32_767 + b"\n", b"z" * 65_536] * 2)
    assert shown[:-1] == ["y" * 32_767]
    assert shown[-1] == f"[... {32_768 * 5} more bytes are not shown]"


@pytest.mark.parametrize(
    ("done", "end"),
    [
        (Done(0, "out\nthe-end 255\n"), "ended with exit status 255"),
        (Done(1, "out\nthe-end 0\n"), "ended with exit status 0"),
        (Done(0, "out\n"), "was not seen to end"),
        (Done(0, "out\nthe-end \n"), "was not seen to end"),
        (Done(-9, "out\n", timed_out=True), "did not end within 5 s"),
    ],
)
def test_the_end_of_a_hook_is_that_of_its_own_mark(done: Done, end: str) -> None:
    found = marked.ended(done, "the-end")
    assert end in found.end(5.0)
    assert found.output == "out\n"
    assert found.ok == (end == "ended with exit status 0")


def test_a_command_whose_end_was_not_seen_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    def seen(output: str) -> list[str]:
        stopped: list[str] = []
        running = SimpleNamespace(finish=lambda *_: Done(0, output), close=lambda: None)
        monkeypatch.setattr(process, "Running", lambda _: running)
        monkeypatch.setattr(host, "_started", lambda argv, _: stopped.extend(argv))
        command = Command(("/bin/true",), "root", "/", unit="u.service", end_mark="the-end")
        host.RealHost().run_as(command, timeout=1.0)
        return stopped

    assert seen("out\n") == ["systemctl", "stop", "--", "u.service"]
    assert seen("out\nthe-end 0\n") == []


def test_a_hook_gets_missing_directories_made_and_leaves_present_ones_alone(
    upgraded: Simulation,
) -> None:
    """With StateDirectory= on a present one, systemd would give it to the new user at once."""
    service = (
        "[Service]\nUser=root\nExecStart=/x\nStateDirectory=app there\nStateDirectoryMode=0700\n"
        "CacheDirectory=app\nRuntimeDirectory=app\n"
    )
    upgraded.machine.owners["/var/lib/there"] = (5, 5)
    wanted = manifest(upgraded.paths, NEW)
    texts = {f"units/{unit.name}": service for unit in wanted.units}
    upgraded.deploy(wanted, texts=texts)
    of = hooks.Run(upgraded.store, lambda _: None, wanted, STAGED)
    settings = hooks._directories(of, only(STAGED)[0])
    assert settings == [
        "StateDirectory=app",
        "StateDirectoryMode=0700",
        "CacheDirectory=app",
        "Environment=STATE_DIRECTORY=/var/lib/app:/var/lib/there",
        "Environment=CACHE_DIRECTORY=/var/cache/app",
    ]
    other = replace(only(STAGED)[0], user="somebody")
    assert hooks._directories(of, other) == []

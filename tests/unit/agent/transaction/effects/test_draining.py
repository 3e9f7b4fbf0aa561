"""A host behind a load balancer, on the fake machine: drained before its switch, then back."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from fake_deploy import Simulation, manifest
from fake_machine import Fault
from fault_scenarios import BALANCER, NEW, OLD, drained_upgrade, prepared
from shipit.agent.protocol.balancers import Drained, LoadBalancer
from shipit.agent.protocol.hooks import BEFORE_COMMIT, Hook
from shipit.agent.protocol.messages import Failure, StepFailed
from shipit.agent.records import drained
from shipit.agent.server import status
from shipit.agent.system import files
from shipit.agent.transaction import client

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from shipit.agent.protocol.manifest import Manifest
    from shipit.agent.system.process import Done

COMMANDS = LoadBalancer(
    0.0,
    drain=Hook("drain", BEFORE_COMMIT, ("/bin/true", "out"), 9.0, "root", "/"),
    undrain=Hook("undrain", BEFORE_COMMIT, ("/bin/true", "back"), 9.0, "root", "/"),
)


@pytest.fixture
def upgraded(tmp_path: Path) -> Simulation:
    """Give a machine that runs the old release, which has no load balancer."""
    return prepared(tmp_path, drained_upgrade)


def release(simulation: Simulation, name: str = NEW, **changes: Any) -> Manifest:  # noqa: ANN401
    return replace(manifest(simulation.paths, name, balancer=BALANCER), **changes)


def all_calls(simulation: Simulation) -> list[str]:
    return [call.partition(": ")[2] for call in simulation.machine.calls]


def calls(simulation: Simulation, *wanted: str) -> list[str]:
    """Return the calls of these kinds, in order; `ready` is sent until it is up."""
    return [name for name in all_calls(simulation) if name in wanted]


def before_each(simulation: Simulation, act: Callable[[str], None]) -> None:
    """Let something happen before each command to haproxy."""
    asked = simulation.machine.asked

    def watched(to: str, line: str, *, timeout: float) -> str:
        act(line)
        return asked(to, line, timeout=timeout)

    simulation.machine.asked = watched  # type: ignore[method-assign]


def reported(simulation: Simulation) -> list[Failure]:
    followed = list(client.follow(simulation.store))
    return [message.failure for message in followed if isinstance(message, StepFailed)]


def record(simulation: Simulation) -> Drained | None:
    return drained.read(simulation.paths)


SWITCH = "restart app-web.service"
DRAIN, READY = "ask haproxy to drain", "ask haproxy to ready"


def test_a_host_is_drained_before_its_units_stop_and_undrained_before_the_verdict(
    upgraded: Simulation,
) -> None:
    seen: list[tuple[str, bool]] = []

    def look() -> None:
        open_ = upgraded.store.load()
        if open_ and open_.healthy:
            seen.append((upgraded.machine.balancer["lb:9999"], record(upgraded) is None))

    upgraded.machine.idle.insert(0, look)
    drained_upgrade(upgraded)
    assert upgraded.outcomes[-1] == "committed"
    assert seen[0] == ("ready", True)
    names = all_calls(upgraded)
    assert names.index(DRAIN) < next(i for i, name in enumerate(names) if name == SWITCH)


def test_a_first_release_has_nothing_to_drain_and_is_undrained(tmp_path: Path) -> None:
    simulation = Simulation.at(tmp_path)
    simulation.deploy(release(simulation))
    assert calls(simulation, DRAIN, READY) == [READY]
    assert simulation.machine.balancer == {"lb:9999": "ready"}


def test_a_sick_release_is_drained_again_and_the_previous_one_serves(upgraded: Simulation) -> None:
    upgraded.machine.sick.add(NEW)
    drained_upgrade(upgraded)
    assert calls(upgraded, DRAIN, READY) == [DRAIN, DRAIN, READY]
    upgraded.assert_serves(OLD)
    assert record(upgraded) is None


def test_a_healthy_release_that_is_called_back_is_drained_before_it_stops(
    upgraded: Simulation,
) -> None:
    upgraded.verdict = "revert"
    drained_upgrade(upgraded)
    assert calls(upgraded, DRAIN, READY) == [DRAIN, READY, DRAIN, READY]


def test_a_rollback_drains_as_the_newer_release_has_it(upgraded: Simulation) -> None:
    drained_upgrade(upgraded)
    upgraded.machine.calls.clear()
    upgraded.rollback(OLD)
    assert upgraded.head == OLD
    assert calls(upgraded, DRAIN, READY) == [DRAIN, READY]


def test_a_host_that_cannot_be_drained_has_not_changed(upgraded: Simulation) -> None:
    upgraded.machine.is_deaf = True
    drained_upgrade(upgraded)
    assert upgraded.outcomes[-1] == "discarded"
    assert upgraded.failure().code == "haproxy-unreachable"
    upgraded.assert_serves(OLD)
    assert record(upgraded) is None  # it was not touched
    assert calls(upgraded, READY) == []


def test_a_host_that_is_partly_drained_is_undrained(upgraded: Simulation) -> None:
    drain = upgraded.machine.asked

    def asked(to: str, line: str, *, timeout: float) -> str:
        if line.endswith("drain") and to == "lb2:9999":
            return "Permission denied\n"
        return drain(to, line, timeout=timeout)

    assert BALANCER.haproxy
    two = replace(BALANCER.haproxy, sockets=("lb:9999", "lb2:9999"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upgraded.machine, "asked", asked)
        upgraded.deploy(release(upgraded, balancer=replace(BALANCER, haproxy=two)))
    assert upgraded.outcomes[-1] == "discarded"
    assert upgraded.failure().code == "haproxy-denied"
    assert upgraded.machine.balancer == {"lb:9999": "ready", "lb2:9999": "ready"}
    assert record(upgraded) is None


def test_a_host_that_no_haproxy_has_drained_is_not_out(upgraded: Simulation) -> None:
    asked = upgraded.machine.asked

    def deny(to: str, line: str, *, timeout: float) -> str:
        is_look = line.startswith("show")
        return asked(to, line, timeout=timeout) if is_look else "Permission denied\n"

    upgraded.machine.asked = deny  # type: ignore[method-assign]
    drained_upgrade(upgraded)
    assert upgraded.outcomes[-1] == "discarded"
    assert upgraded.failure().code == "haproxy-denied"
    assert record(upgraded) is None


def test_a_host_that_cannot_be_undrained_does_not_pass_its_gate(upgraded: Simulation) -> None:
    """So that no batch after it is drained as well. It is drained again, and then undrained."""
    upgraded.lease = 600.0

    def fail_at_first(line: str) -> None:
        is_first = calls(upgraded, DRAIN) == [DRAIN]
        upgraded.machine.is_deaf = line.endswith("ready") and is_first

    before_each(upgraded, fail_at_first)
    drained_upgrade(upgraded)
    assert upgraded.outcomes[-1] == "rolled_back"
    assert upgraded.failure().code == "haproxy-unreachable"
    assert record(upgraded) is None
    assert upgraded.machine.balancer == {"lb:9999": "ready"}


def test_a_rollback_that_cannot_be_undrained_goes_on(upgraded: Simulation) -> None:
    drained_upgrade(upgraded)
    upgraded.lease = 600.0
    before_each(upgraded, lambda line: setattr(upgraded.machine, "is_deaf", "ready" in line))
    upgraded.rollback(OLD)
    assert upgraded.outcomes[-1] == "committed"
    assert upgraded.head == OLD
    found = record(upgraded)
    assert found is not None
    assert (found.txn, found.what, found.who) == ("t3", "rollback", "dev@laptop")


def test_a_host_that_is_left_out_is_shown_and_put_back_by_the_next_session(
    upgraded: Simulation,
) -> None:
    upgraded.machine.sick.add(NEW)
    before_each(upgraded, lambda line: setattr(upgraded.machine, "is_deaf", "ready" in line))
    drained_upgrade(upgraded)
    assert upgraded.outcomes[-1] == "rolled_back"
    upgraded.assert_serves(OLD)
    found = status.gather(upgraded.store, verify=False).drained
    assert found is not None
    assert "haproxy-unreachable" in found.problem
    assert [each.code for each in reported(upgraded)][-1] == "haproxy-unreachable"

    assert "still out" in upgraded.hello()
    del upgraded.machine.asked
    upgraded.machine.is_deaf = False
    assert "put back" in upgraded.hello()
    assert status.gather(upgraded.store, verify=False).drained is None
    assert upgraded.machine.balancer == {"lb:9999": "ready"}


def test_where_no_healthy_release_runs_the_host_stays_out(upgraded: Simulation) -> None:
    upgraded.machine.sick.update((NEW, OLD))
    drained_upgrade(upgraded)
    assert upgraded.state == "stuck"
    assert upgraded.machine.balancer == {"lb:9999": "drain"}
    assert record(upgraded) is not None

    upgraded.machine.crashing.add("r3")  # discarded or rolled back: nothing is healthy yet
    upgraded.deploy(release(upgraded, "r3"))
    assert upgraded.machine.balancer == {"lb:9999": "drain"}
    upgraded.hello()
    assert upgraded.machine.balancer == {"lb:9999": "drain"}

    upgraded.deploy(release(upgraded, "r4"))
    assert upgraded.head == "r4"
    assert upgraded.machine.balancer == {"lb:9999": "ready"}
    assert record(upgraded) is None


def test_without_a_release_to_go_back_to_nothing_is_left_on_record(tmp_path: Path) -> None:
    simulation = Simulation.at(tmp_path)
    simulation.verdict = "revert"
    simulation.deploy(release(simulation))
    assert simulation.machine.balancer == {"lb:9999": "drain"}
    assert record(simulation) is None


def test_a_record_that_cannot_be_read_is_made_anew_by_the_deploy_that_drains(
    upgraded: Simulation,
) -> None:
    files.write(upgraded.paths.drained, b"{", 0o600)
    asked = upgraded.machine.asked

    def late(to: str, line: str, *, timeout: float) -> str:
        answer = asked(to, line, timeout=timeout)
        if line.endswith("drain"):
            raise TimeoutError
        return answer

    upgraded.machine.asked = late  # type: ignore[method-assign]
    drained_upgrade(upgraded)
    assert upgraded.outcomes[-1] == "discarded"
    assert upgraded.machine.balancer == {"lb:9999": "ready"}
    assert record(upgraded) is None


def test_without_a_load_balancer_in_the_playbook_the_previous_one_counts(
    upgraded: Simulation,
) -> None:
    drained_upgrade(upgraded)
    files.write(upgraded.paths.drained, b"{", 0o600)
    upgraded.machine.balancer = {"lb:9999": "drain"}
    upgraded.deploy(manifest(upgraded.paths, "r3"))
    assert upgraded.head == "r3"
    assert upgraded.machine.balancer == {"lb:9999": "ready"}
    assert record(upgraded) is None


def test_nobody_says_that_a_host_is_back_in_a_load_balancer_that_nobody_knows(
    upgraded: Simulation,
) -> None:
    files.write(upgraded.paths.drained, b"{", 0o600)
    upgraded.deploy(manifest(upgraded.paths, NEW))
    assert upgraded.failure().code == "drained-unknown"
    assert record(upgraded) is not None


def test_a_haproxy_that_has_left_the_playbook_is_undrained_as_well(upgraded: Simulation) -> None:
    assert BALANCER.haproxy
    two = replace(BALANCER.haproxy, sockets=("lb:9999", "lb2:9999"))
    asked, is_down = upgraded.machine.asked, False

    def down(to: str, line: str, *, timeout: float) -> str:
        if is_down and to == "lb2:9999":
            raise ConnectionRefusedError
        return asked(to, line, timeout=timeout)

    def fails() -> None:
        nonlocal is_down
        is_down = is_down or upgraded.machine.balancer.get("lb2:9999") == "drain"

    upgraded.machine.asked = down  # type: ignore[method-assign]
    upgraded.machine.observers.append(fails)
    upgraded.machine.sick.add(NEW)
    upgraded.deploy(release(upgraded, balancer=replace(BALANCER, haproxy=two)))
    upgraded.deploy(release(upgraded, "r3"))
    assert upgraded.head == "r3"
    assert upgraded.machine.balancer == {"lb:9999": "ready", "lb2:9999": "drain"}
    found = record(upgraded)
    assert found is not None
    assert [each.balancer.haproxy and each.balancer.haproxy.sockets for each in found.places] == [
        ("lb2:9999",)
    ]

    upgraded.machine.observers.clear()
    is_down = False
    assert "put back" in upgraded.hello()
    assert upgraded.machine.balancer == {"lb:9999": "ready", "lb2:9999": "ready"}
    assert record(upgraded) is None


def test_on_the_way_back_the_healthy_release_s_own_command_undrains(upgraded: Simulation) -> None:
    upgraded.deploy(release(upgraded, balancer=COMMANDS))
    assert COMMANDS.undrain
    broken = replace(COMMANDS.undrain, command=("/bin/true", "broken"))
    upgraded.machine.ends["broken"] = 1
    upgraded.machine.ran.clear()
    upgraded.deploy(release(upgraded, "r3", balancer=replace(COMMANDS, undrain=broken)))
    assert upgraded.outcomes[-1] == "rolled_back"
    assert upgraded.failure().code == "undrain-failed"
    ran = [words.partition(" ")[2] for words in upgraded.machine.ran]
    assert ran == ["out", "broken", "broken", "broken", "out", "back"]
    assert record(upgraded) is None


def test_commands_run_as_hooks_do_and_one_that_fails_is_tried_again(upgraded: Simulation) -> None:
    upgraded.machine.sick.add(NEW)
    upgraded.machine.ends["back"] = 1
    upgraded.deploy(release(upgraded, balancer=COMMANDS))
    ran = [words.partition(" ")[2] for words in upgraded.machine.ran]
    assert ran == ["out", "out", "back", "back", "back"]
    assert reported(upgraded)[-1].code == "undrain-failed"

    upgraded.machine.ends.clear()
    assert "put back" in upgraded.hello()
    assert record(upgraded) is None


def test_a_command_that_cannot_drain_discards_and_undrains(upgraded: Simulation) -> None:
    upgraded.machine.ends["out"] = 4
    upgraded.deploy(release(upgraded, balancer=COMMANDS))
    assert upgraded.outcomes[-1] == "discarded"
    assert upgraded.failure().code == "drain-failed"
    assert [words.partition(" ")[2] for words in upgraded.machine.ran] == ["out", "back"]


def test_a_host_that_can_start_no_command_is_rolled_back_nevertheless(
    upgraded: Simulation,
) -> None:
    def refuse(*_: object, **__: object) -> Done:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    def from_now_on() -> None:
        upgraded.machine.run_as = refuse  # type: ignore[method-assign]

    upgraded.machine.sick.add(NEW)
    upgraded.machine.does["out"] = from_now_on
    upgraded.deploy(release(upgraded, balancer=COMMANDS))
    assert upgraded.outcomes[-1] == "rolled_back"
    upgraded.assert_serves(OLD)
    assert [each.code for each in reported(upgraded)] == [
        "check-failed",
        "os-error",
        "os-error",
    ]
    assert record(upgraded) is not None


def test_units_that_fail_while_the_host_is_undrained_fail_the_release(
    upgraded: Simulation,
) -> None:
    def crash(line: str) -> None:
        if line.endswith("ready") and calls(upgraded, DRAIN) == [DRAIN]:
            upgraded.machine.running["app-web.service"].active = "failed"

    before_each(upgraded, crash)
    drained_upgrade(upgraded)
    assert upgraded.outcomes[-1] == "rolled_back"
    assert upgraded.failure().code == "unit-failed"


@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE, Fault.CUT_AFTER])
def test_after_a_power_cut_the_host_is_undrained_when_it_has_booted(
    upgraded: Simulation, fault: Fault
) -> None:
    def cut(line: str) -> None:
        if line.endswith("drain"):
            upgraded.machine.faults = {len(upgraded.machine.calls): fault}
        assert not upgraded.machine.is_booting, "there is no network yet"

    before_each(upgraded, cut)
    drained_upgrade(upgraded)
    assert upgraded.machine.boots == 2
    assert upgraded.outcomes[-1] == "discarded"
    assert upgraded.machine.balancer.get("lb:9999", "ready") == "ready"
    assert record(upgraded) is None

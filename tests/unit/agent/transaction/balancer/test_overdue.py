"""A host that its last transaction has left out is put back by the next session, where it may."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fake_deploy import manifest
from fault_scenarios import BALANCER, NEW, drained_upgrade, prepared
from shipit.agent.protocol.balancers import Drained, LoadBalancer
from shipit.agent.protocol.hooks import BEFORE_COMMIT, Hook
from shipit.agent.protocol.messages import Attempt
from shipit.agent.records import drained
from shipit.agent.system.process import Done
from shipit.agent.transaction.balancer import overdue

if TYPE_CHECKING:
    from pathlib import Path

    from fake_deploy import Simulation

OURS = Attempt("t9", "deploy", "bob@ci", 1, "2026-01-01T00:00:00Z")


@pytest.fixture
def left_out(tmp_path: Path) -> Simulation:
    """Give a machine whose release is committed and which haproxy could not undrain."""
    simulation = prepared(tmp_path, drained_upgrade)
    drained_upgrade(simulation)
    record = Drained("2026-01-01T00:00:00Z", "t2", "deploy", "ann@laptop", NEW, BALANCER, "deaf")
    drained.write(simulation.paths, record)
    simulation.machine.balancer = {"lb:9999": "drain"}
    return simulation


def is_out(simulation: Simulation) -> bool:
    recorded = drained.read(simulation.paths) is not None
    assert recorded == (simulation.machine.balancer == {"lb:9999": "drain"})
    return recorded


def test_it_is_put_back_once(left_out: Simulation) -> None:
    assert "put back" in overdue.undrain(left_out.store)
    assert not is_out(left_out)
    assert overdue.undrain(left_out.store) == ""


def test_a_transaction_at_work_is_left_alone(left_out: Simulation) -> None:
    with left_out.store.driving(OURS, 0.0):
        assert overdue.undrain(left_out.store) == ""
    assert is_out(left_out)


def test_a_host_whose_units_do_not_run_stays_out(left_out: Simulation) -> None:
    left_out.machine.running["app-web.service"].active = "failed"
    assert overdue.undrain(left_out.store) == ""
    assert is_out(left_out)


def test_a_host_whose_transaction_got_stuck_stays_out(left_out: Simulation) -> None:
    found = drained.read(left_out.paths)
    assert found
    drained.write(left_out.paths, replace(found, txn="unknown-to-the-history"))
    assert overdue.undrain(left_out.store) == ""
    assert is_out(left_out)


def test_the_record_is_enough_where_the_release_is_gone(left_out: Simulation) -> None:
    left_out.deploy(manifest(left_out.paths, "r3"))
    found = Drained("2026-01-01T00:00:00Z", "t3", "deploy", "ann@laptop", NEW, BALANCER)
    drained.write(left_out.paths, found)
    left_out.machine.balancer = {"lb:9999": "drain"}
    shutil.rmtree(left_out.paths.release(NEW).top)
    assert "put back" in overdue.undrain(left_out.store)
    assert not is_out(left_out)


def commands(back: str, timeout: float = 9.0) -> LoadBalancer:
    hook = Hook("undrain", BEFORE_COMMIT, ("/bin/true", back), timeout, "root", "/")
    return LoadBalancer(0.0, drain=replace(hook, name="drain"), undrain=hook)


def test_the_command_of_the_release_that_runs_is_tried_before_that_of_a_failed_one(
    left_out: Simulation,
) -> None:
    left_out.deploy(manifest(left_out.paths, "r3", balancer=commands("good")))
    left_out.machine.ran.clear()
    record = Drained("", "t3", "deploy", "ann@laptop", NEW, commands("broken"))
    drained.write(left_out.paths, record)
    assert "put back" in overdue.undrain(left_out.store)
    assert left_out.machine.ran == ["/bin/true good"]
    assert drained.read(left_out.paths) is None


def test_a_command_does_not_hold_up_the_session_and_says_why_it_failed(
    left_out: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Drained("", "t2", "deploy", "ann@laptop", NEW, commands("back", timeout=300.0))
    drained.write(left_out.paths, record)
    limits: list[float] = []

    def late(_: object, *, timeout: float, **__: object) -> Done:
        limits.append(timeout)
        return Done(1, "first\nno such group\n")

    monkeypatch.setattr(left_out.machine, "run_as", late)
    assert overdue.undrain(left_out.store).endswith("no such group")
    assert limits == [overdue.COMMAND_TIMEOUT]

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fake_deploy import Simulation, manifest
from shipit.agent.health.bake import ERROR, MIB, erring, grown
from shipit.agent.health.measure import Measure

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW = "app-web@r1.service", "app-web@r2.service"
BAKE = 60.0  # seconds


@pytest.fixture
def simulation(tmp_path: Path) -> Simulation:
    """Give a host that serves r1, which needs 100 MiB and logs an error now and then."""
    simulation = Simulation.at(tmp_path)
    simulation.deploy(manifest(simulation.paths, "r1", overlaps=True))
    simulation.machine.needs[OLD] = 100 * MIB
    simulation.machine.logs[OLD] = "ERROR: a customer has gone\n" * 2
    return simulation


def deploy(simulation: Simulation) -> None:
    simulation.lease = 10 * BAKE  # a controller that renews it
    began = simulation.machine.clock
    simulation.deploy(manifest(simulation.paths, "r2", overlaps=True, bake=BAKE))
    if simulation.head == "r2":
        assert simulation.machine.clock - began >= BAKE


def test_a_release_that_does_as_well_as_the_one_before_is_committed(simulation: Simulation) -> None:
    simulation.machine.needs[NEW] = 160 * MIB
    simulation.machine.logs[NEW] = "ERROR: a customer has gone\n" * 7
    deploy(simulation)
    assert simulation.head == "r2"


def test_a_release_that_needs_far_more_memory_is_rolled_back_with_the_figures(
    simulation: Simulation,
) -> None:
    simulation.machine.needs[NEW] = 300 * MIB
    deploy(simulation)
    assert simulation.head == "r1"
    simulation.assert_serves("r1")
    failure = simulation.failure()
    assert failure.code == "soak-failed"
    assert "300 MiB, the previous release 100 MiB" in failure.what


def test_a_release_that_logs_far_more_errors_is_rolled_back_with_the_lines(
    simulation: Simulation,
) -> None:
    simulation.machine.logs[NEW] = "hello\n" + "Traceback (most recent call last):\n" * 40
    deploy(simulation)
    assert simulation.head == "r1"
    failure = simulation.failure()
    assert "40 errors, the previous release 2" in failure.what
    assert "Traceback" in failure.evidence
    assert "hello" not in failure.evidence


def test_a_release_that_crashes_after_its_gate_is_rolled_back(simulation: Simulation) -> None:
    def crash() -> None:
        run = simulation.machine.running.get(NEW)
        if run is not None and simulation.machine.clock - started > BAKE / 2:
            run.restarts = 1

    started = simulation.machine.clock
    simulation.machine.idle.append(crash)
    deploy(simulation)
    assert simulation.head == "r1"
    assert "restarted 1 times" in simulation.failure().what


def test_a_first_release_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    simulation = Simulation.at(tmp_path)
    simulation.machine.logs[NEW] = "ERROR\n" * 100
    deploy(simulation)
    assert simulation.head == "r2"


def test_a_rollback_does_not_wait(simulation: Simulation) -> None:
    deploy(simulation)
    began = simulation.machine.clock
    simulation.rollback("r1")
    assert simulation.head == "r1"
    assert simulation.machine.clock - began < BAKE / 2


@pytest.mark.parametrize(
    ("before", "now", "is_wrong"),
    [(0, 10_000, False), (10, 70, False), (10, 80, True), (400, 700, False), (400, 900, True)],
)
def test_memory_has_grown_when_it_is_both_twice_and_64_mib_more(
    before: int, now: int, *, is_wrong: bool
) -> None:
    assert bool(grown(Measure(before * MIB, 0), now * MIB)) == is_wrong


@pytest.mark.parametrize(
    ("a_minute", "lines", "is_wrong"),
    [(0, 5, False), (0, 6, True), (2, 12, False), (10, 59, False), (10, 61, True)],
)
def test_errors_are_too_many_when_they_are_three_times_and_five_more(
    a_minute: float, lines: int, *, is_wrong: bool
) -> None:
    found = ["ERROR"] * lines
    assert bool(erring(Measure(0, a_minute), found, 120.0)) == is_wrong


@pytest.mark.parametrize(
    ("line", "reports"),
    [
        ("web[1]: ERROR:root:no", True),
        ("web[1]: [error    ] no", True),
        ("web[1]: CRITICAL no", True),
        ("web[1]: Traceback (most recent call last):", True),
        ("web[1]: GET /errors 200", False),
        ("web[1]: no error today", False),
    ],
)
def test_a_line_that_reports_an_error_is_known_by_its_level(line: str, *, reports: bool) -> None:
    assert bool(ERROR.search(line)) == reports

"""Whose load balancer counts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fake_deploy import Simulation, manifest, put
from fault_scenarios import BALANCER, NEW, OLD
from shipit.agent.protocol.balancers import LoadBalancer, Place
from shipit.agent.protocol.hooks import BEFORE_COMMIT, Hook
from shipit.agent.transaction.balancer import membership
from shipit.agent.transaction.balancer.membership import DRAIN, UNDRAIN

if TYPE_CHECKING:
    from pathlib import Path

OTHER = replace(BALANCER, wait=1.0)
OUT = Hook("drain", BEFORE_COMMIT, ("x", "out"), 1.0, "u", "/")
BACK = Hook("undrain", BEFORE_COMMIT, ("x", "back"), 1.0, "u", "/")
COMMANDS = LoadBalancer(0.0, drain=OUT, undrain=BACK)


@pytest.fixture
def simulation(tmp_path: Path) -> Simulation:
    """Give a host with a release that has a load balancer, and one that has none."""
    simulation = Simulation.at(tmp_path)
    put(simulation.paths, manifest(simulation.paths, NEW, balancer=BALANCER))
    put(simulation.paths, manifest(simulation.paths, OLD))
    return simulation


@pytest.mark.parametrize(
    ("candidates", "found"),
    [((NEW, OLD), NEW), ((OLD, NEW), NEW), (("gone", NEW), NEW), ((OLD,), ""), (("gone",), "")],
)
def test_the_first_release_that_has_one_counts(
    simulation: Simulation, candidates: tuple[str, ...], found: str
) -> None:
    made = membership.newest(simulation.paths, candidates)
    assert (made.id if made else "") == found


@pytest.mark.parametrize("release", [OLD, "gone"])
def test_what_is_on_record_is_undrained_by_that_release_or_by_one_that_stands_in(
    simulation: Simulation, release: str
) -> None:
    [way] = membership.ways_back(simulation.paths, Place(release, OTHER), NEW, (OLD,))
    assert (way.id, way.balancer) == (OLD, OTHER)


def test_commands_of_the_release_that_runs_come_before_those_on_record(
    simulation: Simulation,
) -> None:
    put(simulation.paths, manifest(simulation.paths, "r3", balancer=COMMANDS))
    broken = replace(COMMANDS, undrain=replace(BACK, command=("x", "broken")))
    ways = membership.ways_back(simulation.paths, Place(OLD, broken), "r3", ())
    assert [(each.id, each.balancer) for each in ways] == [("r3", COMMANDS), (OLD, broken)]


def test_a_step_names_what_the_host_leaves() -> None:
    assert membership.described(BALANCER, DRAIN) == "web/web1 in haproxy at lb:9999"
    assert membership.described(COMMANDS, DRAIN) == "x out"
    assert membership.described(COMMANDS, UNDRAIN) == "x back"

"""Whose load balancer counts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fake_deploy import Simulation, manifest, put
from fault_scenarios import BALANCER, NEW, OLD
from shipit.agent.protocol.balancers import Drained, LoadBalancer
from shipit.agent.protocol.hooks import BEFORE_COMMIT, Hook
from shipit.agent.transaction.balancer import membership

if TYPE_CHECKING:
    from pathlib import Path

OTHER = replace(BALANCER, wait=1.0)
RECORD = Drained("2026-01-01T00:00:00Z", "t1", "deploy", "ann@laptop", OLD, OTHER)


@pytest.fixture
def simulation(tmp_path: Path) -> Simulation:
    """Give a host with a release that has a load balancer, and one that has none."""
    simulation = Simulation.at(tmp_path)
    put(simulation.paths, manifest(simulation.paths, NEW, balancer=BALANCER))
    put(simulation.paths, manifest(simulation.paths, OLD))
    return simulation


@pytest.mark.parametrize(
    ("candidates", "record", "found"),
    [
        ((NEW, OLD), None, (NEW, BALANCER)),
        ((OLD, NEW), None, (NEW, BALANCER)),
        (("gone", NEW), RECORD, (NEW, BALANCER)),
        ((OLD,), RECORD, (OLD, OTHER)),
        (("gone", OLD), RECORD, (OLD, OTHER)),
    ],
)
def test_the_first_release_that_has_one_counts_and_else_the_record(
    simulation: Simulation,
    candidates: tuple[str, ...],
    record: Drained | None,
    found: tuple[str, LoadBalancer],
) -> None:
    made = membership.of_one(simulation.paths, candidates, record)
    assert made is not None
    assert (made.id, made.balancer) == found


@pytest.mark.parametrize(
    ("candidates", "record"), [((OLD,), None), (("gone",), RECORD), ((), RECORD)]
)
def test_without_one_there_is_none(
    simulation: Simulation, candidates: tuple[str, ...], record: Drained | None
) -> None:
    assert membership.of_one(simulation.paths, candidates, record) is None


def test_a_step_names_what_the_host_leaves() -> None:
    commands = LoadBalancer(0.0, drain=Hook("drain", BEFORE_COMMIT, ("x", "out"), 1.0, "u", "/"))
    assert membership.described(BALANCER) == "web/web1 in haproxy at lb:9999"
    assert membership.described(commands) == "x out"

"""The record of a host that is out of its load balancer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from shipit.agent.protocol.balancers import Drained, Haproxy, LoadBalancer, Place
from shipit.agent.protocol.hooks import BEFORE_COMMIT, Hook
from shipit.agent.records import drained
from shipit.agent.records.history import Entry
from shipit.agent.system.paths import Paths

BALANCER = LoadBalancer(5.0, Haproxy(("lb:9999",), "web", "web1"))
OURS = Drained("2026-01-02T00:00:00Z", "t2", "deploy", "ann@laptop", "r2", BALANCER)
EARLIER = replace(OURS, since="2026-01-01T00:00:00Z", txn="t1", problem="no")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    (tmp_path / "txn").mkdir()
    return Paths("app", str(tmp_path / "app"), str(tmp_path))


def ended(outcome: str) -> list[Entry]:
    return [Entry("t1", "deploy", "r1", "1", "", outcome, "ann@laptop", OURS.since)]


def test_it_is_read_as_it_was_written_and_is_root_s_alone(paths: Paths) -> None:
    assert drained.read(paths) is None
    drained.write(paths, OURS)
    assert drained.read(paths) == OURS
    assert Path(paths.drained).stat().st_mode & 0o777 == 0o600
    drained.remove(paths)
    drained.remove(paths)
    assert drained.read(paths) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"txn": "../x"}', "\0"])
def test_one_that_cannot_be_read_is_a_record_with_a_problem(paths: Paths, content: str) -> None:
    Path(paths.drained).write_text(content)
    found = drained.read(paths)
    assert found is not None
    assert "cannot be read" in found.problem
    assert not drained.is_overdue(found, ended("committed"))


@pytest.mark.parametrize("outcome", ["committed", "rolled_back", "discarded"])
def test_a_host_is_overdue_once_its_transaction_is_over_and_a_healthy_release_runs(
    outcome: str,
) -> None:
    assert drained.is_overdue(EARLIER, ended(outcome))
    assert drained.begun(EARLIER, OURS, ended(outcome)) == replace(OURS, since=EARLIER.since)


@pytest.mark.parametrize("history", [[], ended("stuck"), ended("of a newer version")])
def test_where_nothing_healthy_runs_the_earlier_record_stays(history: list[Entry]) -> None:
    assert not drained.is_overdue(EARLIER, history)
    assert drained.begun(EARLIER, OURS, history) == EARLIER


def test_a_host_that_serves_gets_a_record(paths: Paths) -> None:
    assert drained.begun(drained.read(paths), OURS, []) == OURS


def test_another_load_balancer_stays_on_record_as_far_as_the_new_one_does_not_have_it() -> None:
    both = replace(BALANCER, haproxy=Haproxy(("lb:9999", "lb2:9999"), "web", "web1"))
    before = replace(EARLIER, release="r1", balancer=both)
    found = drained.begun(before, OURS, ended("committed"))
    rest = replace(BALANCER, haproxy=Haproxy(("lb2:9999",), "web", "web1"))
    assert found.places == (Place("r2", BALANCER), Place("r1", rest))


def test_a_record_that_cannot_be_read_does_not_stand_for_a_new_one(paths: Paths) -> None:
    Path(paths.drained).write_text("{")
    assert drained.begun(drained.read(paths), OURS, []) == OURS


def test_newer_commands_stand_for_older_ones() -> None:
    back = Hook("undrain", BEFORE_COMMIT, ("x", "back"), 1.0, "u", "/")
    new, old = LoadBalancer(0.0, undrain=back), LoadBalancer(1.0, undrain=back)
    places = [
        Place("r3", new),
        Place("r2", old),
        Place("r1", BALANCER),
        Place("", LoadBalancer(0.0)),
    ]
    assert drained.merged(places) == (Place("r3", new), Place("r1", BALANCER))


def test_a_record_has_a_limit() -> None:
    many = [
        Place("r1", replace(BALANCER, haproxy=Haproxy((f"lb{n}:1",), "b", "s"))) for n in range(99)
    ]
    assert drained.merged(many) == tuple(many[: drained.MOST])

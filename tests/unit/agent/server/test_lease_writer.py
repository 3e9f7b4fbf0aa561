"""What the disk refuses of a lease or a verdict is named as the cause of the rollback."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from fake_deploy import Simulation
from shipit.agent.protocol.answers import Result
from shipit.agent.protocol.messages import Failure, Healthy, Renew, Settle, Settled
from shipit.agent.server.lease_writer import LeaseWriter
from shipit.agent.transaction import client
from shipit.agent.transaction.store import EXPIRED

if TYPE_CHECKING:
    from pathlib import Path

LATE = Failure(EXPIRED, "nobody confirmed the release", "check")
SICK = Failure("check-failed", "expected status 200, got 500", "check")
RENEWAL, VERDICT = Renew("t1", 60.0), Settle("t1", "commit")


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "/var/lib/shipit/txn/demo.lease.new")


def end(failure: Failure | None, outcome: Result = Result.ROLLED_BACK) -> Settled:
    return Settled("t1", outcome, "r1", failure)


@pytest.fixture
def simulation(tmp_path: Path) -> Simulation:
    return Simulation.at(tmp_path)


def test_a_lease_that_ran_out_because_it_could_not_be_written_names_the_disk(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "renew", full)
    writer = LeaseWriter()
    writer.renew(simulation.store, RENEWAL)
    settled = writer.explained(end(LATE))
    assert isinstance(settled, Settled)
    assert settled.failure is not None
    assert (settled.outcome, settled.failure.code) == ("rolled_back", "disk-full")
    assert settled.failure.hint


def test_a_renewal_that_is_written_ends_the_suspicion(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = LeaseWriter()
    with monkeypatch.context() as patch:
        patch.setattr(client, "renew", full)
        writer.renew(simulation.store, RENEWAL)
    writer.renew(simulation.store, RENEWAL)
    assert writer.explained(end(LATE)) == end(LATE)


@pytest.mark.parametrize(
    "message",
    [end(SICK), end(None, Result.COMMITTED), Healthy("t1", "r1"), end(None, Result.STUCK)],
)
def test_what_has_another_cause_keeps_it(
    message: object, simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "settle", full)
    writer = LeaseWriter()
    assert writer.settle(simulation.store, VERDICT)
    assert writer.explained(message) == message

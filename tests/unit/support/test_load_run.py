"""The steps of a run under load, and the report of its results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hosts.book import Book, Close, Failure, Result
from hosts.workspace import Workspace
from load import run
from load.deploys import BROKEN, GOOD, ROLLBACK, UVICORN, DeployedApp, Step, StepTime, steps

if TYPE_CHECKING:
    from shipit.lab.lab import Lab

FAULTS = ("healthz", "slow", "start")


@pytest.fixture
def deployed() -> DeployedApp:
    """Return an app after two steps, which began at 100 and at 110; no host is real."""
    lab: Lab = object()  # type: ignore[assignment]
    workspace = Workspace(Path("/nowhere"), lab)
    times = [StepTime(Step(GOOD), 100, 108), StepTime(Step(BROKEN, "slow"), 110, 118)]
    return DeployedApp(workspace, "web1", UVICORN, "restart", broken={"1.0.2"}, times=times)


@pytest.fixture
def result() -> Result:
    book = Book()
    book.requests = 3
    book.versions.update({"1.0.1": 3})
    book.end()
    return book.result()


def test_steps_alternate_and_each_broken_release_has_another_fault() -> None:
    found = list(steps(14, FAULTS))
    assert [each.kind for each in found[:6]] == [GOOD, BROKEN, GOOD, ROLLBACK, GOOD, BROKEN]
    faults = [each.fault for each in found if each.kind == BROKEN]
    assert faults == ["healthz", "slow", "start", "healthz"]
    assert len(found) == 14


def test_a_run_without_a_loss_is_good(deployed: DeployedApp, result: Result) -> None:
    assert run.outcome("uvicorn", deployed, result).is_good


def test_a_lost_request_is_a_failure_with_its_step(deployed: DeployedApp, result: Result) -> None:
    lost = [Failure(112, "reset", "fresh", 0.1), Failure(113, "reset", "fresh", 0.1)]
    outcome = run.outcome("uvicorn", deployed, replace(result, failures=lost))
    assert not outcome.is_good
    assert outcome.failures == ("2 x fresh request reset: step 2, broken release (slow)",)


def test_a_loss_between_two_steps_is_attributed_to_the_first(deployed: DeployedApp) -> None:
    assert deployed.step_at(99) == "before the first step"
    assert deployed.step_at(109) == "after step 1, good deploy"


def test_an_answer_of_a_broken_release_is_not_good(deployed: DeployedApp, result: Result) -> None:
    outcome = run.outcome("uvicorn", deployed, replace(result, versions={"1.0.1": 5, "1.0.2": 2}))
    assert (outcome.of_broken, outcome.is_good) == (2, False)


def test_an_unexpected_end_is_not_good(deployed: DeployedApp, result: Result) -> None:
    outcome = run.outcome("uvicorn", deployed, result, "rollback: exit status 5")
    assert not outcome.is_good
    assert "uvicorn: rollback: exit status 5" in run.notes(outcome)


def test_the_table_has_a_row_for_each_server(deployed: DeployedApp, result: Result) -> None:
    seen = replace(result, requests=12345, longest_pause=1.5)
    lines = run.table([run.outcome(name, deployed, seen) for name in run.APPS]).splitlines()
    assert lines[0].split()[:3] == ["server", "steps", "requests"]
    assert [line.split()[:3] for line in lines[1:]] == [
        ["uvicorn", "2", "12,345"],
        ["gunicorn", "2", "12,345"],
    ]
    assert lines[1].endswith("1,500 ms")


def test_the_ends_of_websockets_are_reported_by_their_code(
    deployed: DeployedApp, result: Result
) -> None:
    closes = [Close(101, 1012, "1.0.1"), Close(111, 1012, "1.0.1"), Close(112, 1006, "")]
    reported = run.notes(run.outcome("uvicorn", deployed, replace(result, closes=closes)))
    assert "uvicorn: the websocket was closed with: 1 x 1006, 2 x 1012" in reported


def test_an_unknown_server_is_refused_with_the_known_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        run.parse(["--servers", "uvicorn apache"])
    assert "no such server: apache; there are uvicorn, gunicorn" in capsys.readouterr().err

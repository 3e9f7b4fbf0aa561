"""What is played under load, and how it is judged and told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hosts.book import Book, Close, Failure, Result
from hosts.scene import Scene
from load import play
from load.story import BROKEN, GOOD, ROLLBACK, UVICORN, Act, Played, Stage, acts

if TYPE_CHECKING:
    from shipit.lab.lab import Lab

FAULTS = ("healthz", "slow", "start")


@pytest.fixture
def stage() -> Stage:
    """Give a host after two acts, which began at 100 and at 110; nothing of it is real."""
    lab: Lab = object()  # type: ignore[assignment]
    scene = Scene(Path("/nowhere"), lab)
    acts = [Played(Act(GOOD), 100, 108), Played(Act(BROKEN, "slow"), 110, 118)]
    return Stage(scene, "web1", UVICORN, "restart", broken={"1.0.2"}, played=acts)


@pytest.fixture
def result() -> Result:
    book = Book()
    book.requests = 3
    book.versions.update({"1.0.1": 3})
    book.end()
    return book.result()


def test_acts_come_in_turn_and_every_broken_release_is_broken_in_another_way() -> None:
    played = list(acts(14, FAULTS))
    assert [each.kind for each in played[:6]] == [GOOD, BROKEN, GOOD, ROLLBACK, GOOD, BROKEN]
    faults = [each.fault for each in played if each.kind == BROKEN]
    assert faults == ["healthz", "slow", "start", "healthz"]
    assert len(played) == 14


def test_a_run_without_a_loss_is_good(stage: Stage, result: Result) -> None:
    assert play.outcome("uvicorn", stage, result).is_good


def test_a_lost_request_is_not_good_and_told_with_its_act(stage: Stage, result: Result) -> None:
    lost = [Failure(112, "reset", "fresh", 0.1), Failure(113, "reset", "fresh", 0.1)]
    outcome = play.outcome("uvicorn", stage, replace(result, failures=lost))
    assert not outcome.is_good
    assert outcome.failures == ("2 x fresh request reset: act 2, broken release (slow)",)


def test_a_loss_between_two_acts_is_reported_so(stage: Stage) -> None:
    assert stage.act_at(99) == "before the first act"
    assert stage.act_at(109) == "after act 1, good deploy"


def test_an_answer_of_a_broken_release_is_not_good(stage: Stage, result: Result) -> None:
    outcome = play.outcome("uvicorn", stage, replace(result, versions={"1.0.1": 5, "1.0.2": 2}))
    assert (outcome.of_broken, outcome.is_good) == (2, False)


def test_an_act_that_ended_otherwise_is_not_good(stage: Stage, result: Result) -> None:
    outcome = play.outcome("uvicorn", stage, result, "rollback: exit status 5")
    assert not outcome.is_good
    assert "uvicorn: rollback: exit status 5" in play.notes(outcome)


def test_the_table_has_a_row_for_each_server(stage: Stage, result: Result) -> None:
    seen = replace(result, requests=12345, longest_pause=1.5)
    lines = play.table([play.outcome(name, stage, seen) for name in play.APPS]).splitlines()
    assert lines[0].split()[:3] == ["server", "acts", "requests"]
    assert [line.split()[:3] for line in lines[1:]] == [
        ["uvicorn", "2", "12,345"],
        ["gunicorn", "2", "12,345"],
    ]
    assert lines[1].endswith("1,500 ms")


def test_the_ends_of_websockets_are_reported_by_their_code(stage: Stage, result: Result) -> None:
    closes = [Close(101, 1012, "1.0.1"), Close(111, 1012, "1.0.1"), Close(112, 1006, "")]
    told = play.notes(play.outcome("uvicorn", stage, replace(result, closes=closes)))
    assert "uvicorn: the websocket was closed with: 1 x 1006, 2 x 1012" in told


def test_an_unknown_server_is_refused_with_those_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        play.parse(["--servers", "uvicorn apache"])
    assert "no such server: apache; there are uvicorn, gunicorn" in capsys.readouterr().err

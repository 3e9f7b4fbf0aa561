"""What to do after a run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from shipit.commands import advice
from shipit.events import Problem
from shipit.rollout.executor import Fleet
from shipit.rollout.phase import Phase, Transition
from shipit.rollout.strategy import Canaries

CRASHED = Problem("web1", "check-failed", "it answers 500")
UNWATCHED: Any = SimpleNamespace(watch=None)
WATCHED: Any = SimpleNamespace(watch=SimpleNamespace(duration=600.0))


def fleet(
    *phases: Phase, decided: Canaries = Canaries.HELD, problem: Problem | None = None
) -> Fleet:
    states = {f"web{n}": Transition(phase, "r2", problem) for n, phase in enumerate(phases, 1)}
    return Fleet({}, states, decided=decided)


DONE, UNDONE, STAGED = Phase.COMMITTED, Phase.ROLLED_BACK, Phase.DISCARDED


@pytest.mark.parametrize(
    ("status", "run", "deployment", "what"),
    [
        (0, fleet(DONE), UNWATCHED, ""),
        (0, fleet(DONE), WATCHED, "the hosts go on watching it for 10m"),
        (0, fleet(DONE, decided=Canaries.ALONE), UNWATCHED, ""),
        (0, fleet(Phase.UNCHANGED), WATCHED, ""),
        (3, fleet(STAGED), UNWATCHED, "fix the problem above and run the command again"),
        (4, fleet(UNDONE), UNWATCHED, "fix the problem above and run the command again; no"),
        (4, fleet(UNDONE, problem=CRASHED), UNWATCHED, "deploy a fixed version"),
        (5, fleet(DONE, STAGED), UNWATCHED, "look at the hosts named above"),
        (5, fleet(DONE, STAGED, decided=Canaries.ALONE), WATCHED, "deploy again, so that other"),
        (5, fleet(DONE, Phase.UNKNOWN), UNWATCHED, "shipit attach PLAYBOOK"),
        (130, fleet(UNDONE), UNWATCHED, "run the command again when you are ready"),
    ],
)
def test_the_last_line_says_what_to_do(
    status: int,
    run: Fleet,
    deployment: Any,  # noqa: ANN401 - a part of one
    what: str,
) -> None:
    found = advice.after(status, run, deployment)
    assert found.startswith(what)
    assert bool(found) == bool(what)

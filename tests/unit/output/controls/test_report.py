"""What is shown of operators' words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shipit.agent.protocol.controls import Control, Controls
from shipit.events import Problem
from shipit.output import reports
from shipit.output.controls.report import answers, has_effect
from unit.output.test_reports import SINCE, STATUS, text

PAUSE = Control("pause", "ann@laptop", SINCE, "errors", txn="t1")
HELD = Control("canary", "ci@runner", SINCE, txn="t1")
PROMOTED = replace(HELD, what="promote", who="ann@laptop", why="it is well")


def shown(what: str, **of_hosts: Controls) -> str:
    return text(answers(what, [("demoapp", of_hosts)]))


def test_a_pause_says_on_which_hosts_it_counts() -> None:
    paused = Controls((), "t1", PAUSE, counts=True)
    assert shown("pause", web1=Controls((), "t1"), web2=paused, web3=Controls(())) == (
        "demoapp\n"
        "web1: nothing to pause: this host is switched already\n"
        f"web2: paused by ann@laptop since {SINCE}: errors\n"
        "web3: no deploy runs here\n"
    )
    assert "web1: the deploy goes on" in shown("resume", web1=Controls((), "t1", counts=True))


def test_a_promotion_says_which_host_is_a_canary() -> None:
    held = Controls((), "t1", canary=PROMOTED, counts=True)
    assert shown("promote", web1=held, web2=Controls((), "t1")) == (
        "demoapp\n"
        f"web1: canary promoted by ann@laptop since {SINCE}: it is well\n"
        "web2: no canary is held here\n"
    )


def test_the_status_shows_a_canary_that_is_held() -> None:
    shown = text(reports.status([("demoapp", {"web1": replace(STATUS, canary=HELD)})]))
    assert f"web1: canary, held since {SINCE} in the deploy by ci@runner\n" in shown


@pytest.mark.parametrize("what", ["pause", "resume", "promote", "abort"])
def test_a_word_about_a_run_needs_a_host_on_which_it_counts(what: str) -> None:
    nothing = {"web1": Controls((), "t1"), "web2": Problem("web2", "no-answer", "away")}
    assert not has_effect(what, [("demoapp", nothing)])
    assert has_effect(what, [("demoapp", {**nothing, "web3": Controls((), "t1", counts=True)})])


def test_a_hold_is_about_no_run() -> None:
    assert has_effect("hold", [])
    assert "web1: nothing is held" in shown("unhold", web1=Controls((), counts=True))

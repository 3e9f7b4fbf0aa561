"""What operators say while a deploy runs, and while none does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import agent_builders
from agent_builders import NoSystemd
from fake_deploy import Simulation, manifest
from shipit.agent.protocol.controls import ABORT, CANARY, PROMOTE, AskControls, Control
from shipit.agent.records import holds
from shipit.agent.server import controls
from shipit.agent.system import folders
from shipit.agent.system.paths import Paths
from shipit.agent.transaction import client
from shipit.agent.transaction.journal import moved
from shipit.agent.transaction.states import ARMED
from shipit.agent.transaction.store import Store

if TYPE_CHECKING:
    from pathlib import Path

AT = "2026-01-01T00:00:00Z"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    paths = Paths("demo", str(tmp_path / "opt"), str(tmp_path / "var"), str(tmp_path / "units"))
    folders.make(paths, paths.journal)
    return Store(paths, NoSystemd())


def say(what: str) -> Control:
    return Control(what, "ann@laptop", AT, "errors")


def test_a_run_is_paused_and_resumed_while_it_holds_the_lock(store: Store) -> None:
    with store.session(agent_builders.attempt("t1"), 0.0):
        assert controls.answer(store, AskControls()).run == "t1"
        answer = controls.answer(store, say("pause"))
        assert answer.pause
        assert (answer.run, answer.pause.txn, answer.pause.why) == ("t1", "t1", "errors")
        assert controls.answer(store, AskControls()).pause == answer.pause
        assert controls.answer(store, say("resume")).pause is None


def test_a_pause_without_a_run_is_lost_and_stops_no_later_one(store: Store) -> None:
    answer = controls.answer(store, say("pause"))
    assert (answer.run, answer.pause) == ("", None)
    assert holds.said(store.paths) == []
    with store.session(agent_builders.attempt("t1"), 0.0):
        controls.answer(store, say("pause"))
    with store.session(agent_builders.attempt("t2"), 0.0):
        assert controls.answer(store, AskControls()).pause is None


def test_a_hold_needs_no_lock(store: Store) -> None:
    with store.session(agent_builders.attempt("t1"), 0.0):
        (hold,) = controls.answer(store, say("hold")).holds
        assert (hold.who, hold.why) == ("ann@laptop", "errors")
        assert controls.answer(store, say("unhold")).holds == ()


def test_a_pause_has_no_effect_on_a_host_that_is_switched(tmp_path: Path) -> None:
    simulation = Simulation.at(tmp_path)
    attempt = simulation._attempt("deploy")
    with simulation.store.session(attempt):
        opened = client.begin(simulation.store, attempt, "r1", fresh=True)
        assert controls.answer(simulation.store, say("pause")).counts
        simulation.store.save(moved(opened, ARMED, None))
        answer = controls.answer(simulation.store, say("pause"))
        assert (answer.counts, answer.run) == (False, attempt.txn)
    assert [each.what for each in holds.said(simulation.paths)] == ["pause"]


def test_a_pause_has_no_effect_on_a_host_that_is_done(tmp_path: Path) -> None:
    simulation = Simulation.at(tmp_path)
    simulation.deploy(manifest(simulation.paths, "r1"))
    with simulation.store.session(agent_builders.attempt("t1"), 0.0):
        assert not controls.answer(simulation.store, say("pause")).counts


@pytest.mark.parametrize("what", [PROMOTE, ABORT])
def test_a_canary_is_promoted_or_aborted_once_while_it_is_held(store: Store, what: str) -> None:
    assert not controls.answer(store, say(what)).counts
    with store.session(agent_builders.attempt("t1"), 0.0):
        assert not controls.answer(store, say(what)).counts, "it is not held yet"
        held = controls.answer(store, say(CANARY))
        assert held.canary
        assert held.canary.what == CANARY
        answer = controls.answer(store, say(what))
        assert answer.counts
        assert answer.canary
        assert (answer.canary.what, answer.canary.txn) == (what, "t1")
        for late in (PROMOTE, ABORT):
            again = controls.answer(store, say(late))
            assert (again.counts, again.canary) == (False, answer.canary), "the first one counts"
    assert [each.what for each in holds.said(store.paths)] == [CANARY, what]


def test_a_canary_whose_controller_is_gone_is_not_promoted(store: Store) -> None:
    with store.session(agent_builders.attempt("t1"), 0.0):
        controls.answer(store, say(CANARY))
    with store.driving(agent_builders.attempt("t1"), 0.0):  # until its lease ends
        answer = controls.answer(store, say(PROMOTE))
        assert (answer.run, answer.counts) == ("t1", False)


def test_what_was_said_of_one_canary_is_not_about_the_next_one(store: Store) -> None:
    with store.session(agent_builders.attempt("t1"), 0.0):
        controls.answer(store, say(CANARY))
        controls.answer(store, say(PROMOTE))
    with store.session(agent_builders.attempt("t2"), 0.0):
        assert controls.answer(store, AskControls()).canary is None

"""What operators say while a deploy runs, and while none does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import agent_builders
from agent_builders import NoSystemd
from shipit.agent.protocol.controls import AskControls, Control
from shipit.agent.records import holds
from shipit.agent.server import controls
from shipit.agent.system import folders
from shipit.agent.system.paths import Paths
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

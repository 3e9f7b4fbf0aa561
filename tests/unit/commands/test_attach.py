"""What is followed, what is led, and what is said of a host where nothing runs."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from shipit.agent.protocol import messages
from shipit.agent.protocol.answers import Result
from shipit.commands.attach import (
    Follower,
    Leader,
    Replies,
    idle_note,
    rolled_back,
    under_way_note,
)
from shipit.events import Problem
from shipit.rollout.assignment import Job
from shipit.rollout.phase import Phase, Transition
from unit.release.test_plan import facts, line, manifest
from unit.rollout.test_host_session import ScriptedWire, session

if TYPE_CHECKING:
    from shipit.rollout.host_session import HostSession

BEGAN = "2026-01-01T10:00:00+00:00"
ATTEMPT = messages.Attempt("t1", "deploy", "ann@laptop", 7, BEGAN, "fix for #42")
OLDER = replace(ATTEMPT, txn="t0", started="2026-01-01T09:00:00+00:00")
NEW = "1.1.0-aaaaaaaa"
HEALTHY = messages.Healthy("t1", NEW)
REFUSED = Transition(Phase.DISCARDED, "", Problem("b", "locked", "held by ann@laptop"))


def attached(attempt: messages.Attempt = ATTEMPT, *, is_led: bool = False) -> messages.Attached:
    return messages.Attached(messages.Holder(attempt, 99, "check", 3.0), NEW, is_led)


def settled(outcome: Result) -> messages.Settled:
    return messages.Settled("t1", outcome, NEW)


def phases(replies: Replies, *, take_over: bool) -> dict[str, Phase]:
    return {name: it.phase for name, it in replies.states(take_over=take_over).items()}


def ended(outcome: str, txn: str = ATTEMPT.txn) -> messages.Facts:
    past = line(NEW, outcome=outcome, txn=txn)
    return replace(facts(manifest("1.0.0")), releases=(past,))


def test_hosts_where_something_runs_are_followed_and_the_others_are_unchanged() -> None:
    both = Replies({"a": facts(), "b": facts(manifest())}, {"a": attached()})
    for take_over in (False, True):
        assert phases(both, take_over=take_over) == {"a": Phase.STAGED, "b": Phase.UNCHANGED}


def test_where_one_host_refuses_none_is_taken_over() -> None:
    mixed = Replies({"a": facts(), "b": facts()}, {"a": attached()}, {"b": REFUSED})
    assert phases(mixed, take_over=True) == {"a": Phase.UNKNOWN, "b": Phase.DISCARDED}
    assert phases(mixed, take_over=False)["a"] is Phase.STAGED


def test_a_run_whose_canary_was_not_promoted_is_not_taken_over() -> None:
    held = attached(replace(ATTEMPT, options=("canary",)))
    canary = Replies({"a": facts(), "b": facts()}, {"a": held, "b": attached()})
    assert set(phases(canary, take_over=True).values()) == {Phase.UNKNOWN}
    assert set(phases(canary, take_over=False).values()) == {Phase.STAGED}
    promoted = replace(canary, promoted=frozenset("a"))
    assert set(phases(promoted, take_over=True).values()) == {Phase.STAGED}


def test_only_the_newest_transaction_is_taken_over() -> None:
    two = Replies({"a": facts(), "b": facts()}, {"a": attached(), "b": attached(OLDER)})
    assert phases(two, take_over=True) == {"a": Phase.STAGED, "b": Phase.UNKNOWN}


def test_a_stuck_host_needs_an_operator() -> None:
    stuck = Replies({"a": replace(facts(), stuck="do this")}, {})
    problem = stuck.states(take_over=False)["a"].problem
    assert problem is not None
    assert (phases(stuck, take_over=False)["a"], problem.hint) == (Phase.STUCK, "do this")


def test_a_host_that_has_already_rolled_back_rolls_back_the_others() -> None:
    one_back = Replies({"a": facts(), "b": ended("rolled_back")}, {"a": attached()})
    assert phases(one_back, take_over=True) == {"a": Phase.STAGED, "b": Phase.ROLLED_BACK}


@pytest.mark.parametrize(
    ("past", "expected"),
    [
        (ended("rolled_back"), True),
        (ended("failed"), True),
        (ended("committed"), False),
        (ended("rolled_back", txn="t0"), False),
        (facts(), False),
    ],
)
def test_only_the_end_of_this_attempt_counts(past: messages.Facts, expected: bool) -> None:  # noqa: FBT001 - pytest fills it in
    assert rolled_back(past, ATTEMPT) is expected


def test_an_idle_host_says_what_is_committed_there() -> None:
    runs = replace(facts(), releases=(line("1.4.0-bbbbbbbb", running=True, at="yesterday"),))
    assert idle_note(runs) == "nothing runs here; 1.4.0 is committed since yesterday"
    assert idle_note(facts()) == "nothing runs here; no release is committed"


def test_it_is_said_whose_it_is_and_whether_anybody_leads_it() -> None:
    led, left = (under_way_note(attached(is_led=it), take_over=False) for it in (True, False))
    for word in ("follows the deploy of 1.1.0", "ann@laptop", "fix for #42", "now in check"):
        assert word in led
    assert ("--take-over" in led, "--take-over" in left) == (False, True)
    assert under_way_note(attached(), take_over=True).startswith("takes over the deploy")


def scripted(*answers: object) -> tuple[HostSession, ScriptedWire]:
    talk, wire, _ = session(*answers)
    return talk, wire


@pytest.mark.parametrize(
    ("outcome", "phase"),
    [(Result.COMMITTED, Phase.COMMITTED), (Result.ROLLED_BACK, Phase.ROLLED_BACK)],
)
def test_who_only_follows_says_nothing_to_the_host(outcome: Result, phase: Phase) -> None:
    talk, wire = scripted(HEALTHY, settled(outcome))
    follower = Follower(talk, attached())
    assert follower.switch().phase is phase
    assert follower.roll_back().phase is Phase.UNKNOWN
    assert wire.sent == []


def test_a_stopped_follower_reports_that_the_transaction_continues() -> None:
    talk, wire = scripted()  # the wire ends, as one does that was closed here
    follower = Follower(talk, attached())
    follower.interrupt()
    transition = follower.switch()
    assert (wire.closed, transition.phase) == (True, Phase.UNKNOWN)
    assert transition.problem is not None
    assert (transition.problem.code, "continues" in transition.problem.what) == ("detached", True)


def test_a_link_that_is_lost_while_following_is_reported_as_such() -> None:
    talk, _ = scripted()
    transition = Follower(talk, attached()).switch()
    assert transition.problem is not None
    assert transition.problem.code == "link-lost"


def test_who_leads_renews_the_lease_and_gives_the_verdict() -> None:
    talk, wire = scripted(HEALTHY, settled(Result.COMMITTED))
    leader = Leader(talk, Job(ATTEMPT, NEW, None, 0.03))
    assert wire.renewals.acquire(timeout=60)
    assert leader.switch().phase is Phase.HEALTHY
    assert leader.commit().phase is Phase.COMMITTED
    assert messages.Settle("t1", "commit") in wire.sent


def test_taking_over_rolls_back_hosts_that_have_not_reported_yet() -> None:
    talk, wire = scripted(HEALTHY, settled(Result.ROLLED_BACK))
    leader = Leader(talk, Job(ATTEMPT, NEW, None, 3600.0))
    assert leader.roll_back().phase is Phase.ROLLED_BACK
    assert wire.sent[-1] == messages.Settle("t1", "revert")


def test_where_nothing_runs_nothing_is_followed() -> None:
    talk, wire = scripted(messages.End())
    assert talk.attach(messages.Attach()) is None
    wire.answers = deque([attached()])
    assert talk.attach(messages.Attach()) == attached()

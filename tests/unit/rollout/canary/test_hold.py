"""A canary is held in a rollout over a simulated fleet, until it is decided."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from shipit.agent.protocol.controls import ABORT, CANARY, PROMOTE, Control
from shipit.events import CanaryChecked, CanaryEnded, CanaryHeld, Event, Noted, Outcome
from shipit.rollout.canary import hold as holding
from shipit.rollout.canary.checks import NOT_ASKED
from shipit.rollout.canary.decision import CheckOutcome as Checked
from shipit.rollout.canary.decision import CheckResult, Decision, Rules
from shipit.rollout.canary.hold import CanaryHold, agreed
from shipit.rollout.executor import Fleet, drive, exit_status
from shipit.rollout.phase import Phase
from shipit.rollout.strategy import Policy
from shipit.secrets import Mask
from unit.rollout.canary.test_checks import Scripted
from unit.rollout.test_executor import NEW, OLD, Simulated, fleet

if TYPE_CHECKING:
    from collections.abc import Callable

    from shipit.rollout.canary.hold import Question

AT = "2026-01-01T00:00:00Z"
PASS, FAIL, UNKNOWN, ERROR = (CheckResult(outcome, outcome.value) for outcome in Checked)
LONG = 3600.0
HOLD = CanaryHold(Rules(), 0.0, LONG, (), "me@here", Mask([]))


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "INTERVAL", 0.005)


@dataclass
class Run:
    """What has become of two hosts, the first of which is the canary."""

    fleet: Fleet
    hosts: dict[str, Simulated]
    diary: list[tuple[str, str]]
    events: list[Event] = field(default_factory=list)

    def outcomes(self) -> list[Outcome]:
        return [result.outcome for result in self.fleet.results().values()]

    def why(self) -> set[str]:
        return {result.because for result in self.fleet.results().values()}

    def of(self, kind: type) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    def said(self) -> list[str]:
        words = (act for _, act in self.diary if act.startswith("tell ") and act != "tell asked")
        return [act.removeprefix("tell ") for act in words]


def rolled_out(
    hold: CanaryHold,
    on_event: Callable[[Run, Event], None] = lambda *_: None,
    faults: dict[str, dict[str, object]] | None = None,
) -> Run:
    made, hosts, diary = fleet("a b", faults)
    made.canaries, made.hold = ("a",), hold
    run = Run(made, hosts, diary)

    def emit(event: Event) -> None:
        run.events.append(event)
        on_event(run, event)

    with ThreadPoolExecutor(4) as executor:
        drive(made, Policy(canaries=("a",)), executor, emit)
    return run


def says(what: str, why: str = "") -> Callable[[Run, Event], None]:
    """Return what an operator says on the canary once it is held."""

    def say(run: Run, event: Event) -> None:
        if isinstance(event, CanaryHeld):
            run.hosts["a"].canary = Control(what, "ann@laptop", AT, why)

    return say


def test_a_canary_whose_checks_pass_is_followed_by_the_others() -> None:
    check = Scripted([UNKNOWN, ERROR, PASS])
    run = rolled_out(replace(HOLD, checks=(check,)))
    assert run.outcomes() == [Outcome.COMMITTED] * 2
    assert run.diary.index(("a", "tell promote")) < run.diary.index(("b", "switch"))
    assert run.said() == ["canary", "promote"]
    assert check.asked[0].canaries == ("a",)
    assert check.asked[0].others == ("b",)
    assert run.of(CanaryEnded) == [CanaryEnded("goes on", "its checks have passed")]
    assert len(run.of(Noted)) == 1, "what it waits for after the hold"
    checked = [event for event in run.events if isinstance(event, CanaryChecked)]
    assert checked[-1].outcome == "pass"
    assert NOT_ASKED.detail not in {event.detail for event in checked}
    assert run.fleet.mixed.seconds > 0


def test_a_canary_without_checks_is_held_for_its_time() -> None:
    run = rolled_out(replace(HOLD, least=0.05))
    assert run.outcomes() == [Outcome.COMMITTED] * 2
    assert run.of(Noted) == [], "it waits for nothing"
    (held,) = run.of(CanaryHeld)
    assert isinstance(held, CanaryHeld)
    assert (held.hosts, held.seconds) == (("a",), 0.05)


def test_a_check_that_fails_rolls_the_canary_back_before_the_hold_is_over() -> None:
    run = rolled_out(replace(HOLD, least=LONG, checks=(Scripted([FAIL]),)))
    assert run.outcomes() == [Outcome.ROLLED_BACK, Outcome.DISCARDED]
    assert run.why() == {"the canary check errors failed: fail"}
    assert run.said() == ["canary", "abort"]
    assert ("b", "switch") not in run.diary
    assert exit_status(run.fleet.results()) == 4


@pytest.mark.parametrize(
    ("decision", "outcomes", "status"),
    [
        (Decision.GO_ON, [Outcome.COMMITTED, Outcome.COMMITTED], 0),
        (Decision.STOP, [Outcome.COMMITTED, Outcome.DISCARDED], 5),
        (Decision.ROLL_BACK, [Outcome.ROLLED_BACK, Outcome.DISCARDED], 4),
    ],
    ids=lambda given: given.value if isinstance(given, Decision) else "",
)
def test_what_nobody_decides_ends_as_the_playbook_says(
    decision: Decision, outcomes: list[Outcome], status: int
) -> None:
    rules = Rules(on_timeout=decision)
    run = rolled_out(replace(HOLD, rules=rules, timeout=0.05, checks=(Scripted([ERROR]),)))
    assert run.outcomes() == outcomes
    assert exit_status(run.fleet.results()) == status
    assert run.said() == ["canary"], "that is no verdict on the release"
    why = "nobody has decided on the canary in time, and these checks have not passed: errors"
    assert run.of(CanaryEnded) == [CanaryEnded(decision.value, why)]
    if decision is Decision.STOP:
        assert run.fleet.results()["b"].because == why
        assert ("b", "switch") not in run.diary


def test_a_canary_that_fails_while_a_run_stops_is_rolled_back_with_the_others() -> None:
    rules = Rules(on_timeout=Decision.STOP)
    faults: dict[str, dict[str, object]] = {"a": {"commit": Phase.ROLLED_BACK}}
    hold = replace(HOLD, rules=rules, timeout=0.0, checks=(Scripted([ERROR]),))
    run = rolled_out(hold, faults=faults)
    assert run.outcomes() == [Outcome.ROLLED_BACK, Outcome.DISCARDED]


def test_an_operator_promotes_a_canary_at_once() -> None:
    run = rolled_out(
        replace(HOLD, least=LONG, checks=(Scripted([ERROR]),)), says(PROMOTE, "it is well")
    )
    assert run.outcomes() == [Outcome.COMMITTED] * 2
    (end,) = run.of(CanaryEnded)
    assert end == CanaryEnded("goes on", "the canary was promoted by ann@laptop: it is well")


def test_an_operator_aborts_a_canary() -> None:
    run = rolled_out(replace(HOLD, least=LONG), says(ABORT, "orders are lost"))
    assert run.outcomes() == [Outcome.ROLLED_BACK, Outcome.DISCARDED]
    assert run.why() == {"the canary was aborted by ann@laptop: orders are lost"}
    notes = [event.text for event in run.events if isinstance(event, Noted)]
    assert notes[-1].endswith("orders are lost: every host of this run is rolled back")


ANN = Control(PROMOTE, "ann@laptop", AT, "it is well")
BOB = Control(ABORT, "bob@laptop", AT, "orders are lost")


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ([ANN, ANN], PROMOTE),
        ([ANN, None], ""),
        ([ANN, replace(ANN, what=CANARY)], ""),
        ([ANN], ""),  # the other one gave no answer
        ([ANN, BOB], ABORT),
        ([None, BOB], ABORT),
        ([BOB], ABORT),
        ([], ""),
    ],
)
def test_all_canaries_have_to_say_promote_and_one_that_says_abort_is_enough(
    said: list[Control | None], what: str
) -> None:
    word = agreed(said, 2)
    assert (word.what if word else "") == what


def test_of_what_a_host_says_one_short_line_is_passed_on() -> None:
    lying = replace(BOB, who="a\nb", why="x\r\n[host b] ok " + "y" * 5000, until=AT, release=NEW)
    word = agreed([lying], 1)
    assert word is not None
    assert (word.who, word.why) == ("a b", ("x [host b] ok " + "y" * 5000)[:300])
    assert (word.until, word.release, word.at == AT) == ("", "", False)


def both_held(
    hold: CanaryHold, on_held: Callable[[dict[str, Simulated]], object]
) -> tuple[Fleet, list[tuple[str, str]]]:
    """Return what has become of two canaries, of which something is said once they are held."""
    made, hosts, diary = fleet("a b")
    made.hold = hold

    def emit(event: Event) -> None:
        if isinstance(event, CanaryHeld):
            on_held(hosts)

    with ThreadPoolExecutor(4) as executor:
        drive(made, Policy(canaries=("a", "b")), executor, emit)
    return made, diary


def test_of_two_canaries_one_that_is_aborted_counts() -> None:
    def say(hosts: dict[str, Simulated]) -> None:
        hosts["a"].canary, hosts["b"].canary = ANN, BOB

    made, _ = both_held(replace(HOLD, least=LONG), say)
    results = made.results().values()
    assert [result.outcome for result in results] == [Outcome.ROLLED_BACK] * 2
    assert {it.because for it in results} == {
        "the canary was aborted by bob@laptop: orders are lost"
    }


def test_of_two_canaries_one_cannot_promote_the_other() -> None:
    def lie(hosts: dict[str, Simulated]) -> None:
        hosts["a"].canary = ANN

    hold = replace(HOLD, timeout=0.05, checks=(Scripted([ERROR]),))
    made, diary = both_held(hold, lie)
    assert made.reason.startswith("nobody has decided on the canary in time")
    assert ("b", "tell promote") not in diary


@dataclass
class Answering:
    """An operator on the terminal, who answers after a while."""

    answers: list[str | None]

    def answer(self) -> str | None:
        return self.answers.pop(0) if self.answers else None


@pytest.mark.parametrize(("answer", "what"), [("y", PROMOTE), ("no", ABORT)])
def test_an_operator_answers_on_the_terminal(answer: str, what: str) -> None:
    asked: list[Question] = []

    def ask() -> Question:
        asked.append(Answering([None, "promote", None, answer]))
        return asked[-1]

    run = rolled_out(replace(HOLD, rules=Rules(prompt=True), ask=ask))
    assert len(asked) == 1
    assert run.said() == ["canary", what]
    assert run.hosts["b"].running == (NEW if what == PROMOTE else OLD)
    (end,) = run.of(CanaryEnded)
    assert isinstance(end, CanaryEnded)
    assert end.why.endswith("by me@here: on the terminal")
    notes = [event.text for event in run.events if isinstance(event, Noted)]
    assert "an operator decides: it waits until" in notes[0]
    assert notes[1:3] == [holding.QUESTION, f"answer y or n: {holding.QUESTION}"]


@pytest.mark.parametrize("ends", [Decision.STOP, Decision.ROLL_BACK, Decision.GO_ON])
def test_after_the_hold_it_is_said_once_what_is_waited_for_and_what_follows(ends: Decision) -> None:
    checks = (Scripted([PASS], "good"), Scripted([ERROR], "errors"), Scripted([UNKNOWN], "slow"))
    rules = Rules(on_timeout=ends)
    run = rolled_out(replace(HOLD, rules=rules, least=0.05, timeout=0.1, checks=checks))
    events = [event for event in run.events if isinstance(event, (Noted, CanaryEnded))]
    first = events[0]
    assert isinstance(first, Noted)
    assert first.text.startswith(
        "the canary has been held, and these checks have not passed: errors, slow: it waits until 2"
    )
    assert first.text.endswith(f", then it {ends.value}; {holding.HOW}")
    assert isinstance(events[1], CanaryEnded)
    assert events[1].why.endswith("in time, and these checks have not passed: errors, slow")


def test_without_a_terminal_a_prompt_waits_for_a_command_and_says_so() -> None:
    def promote_then(run: Run, event: Event) -> None:
        if isinstance(event, Noted) and "there is no terminal" in event.text:
            run.hosts["a"].canary = Control(PROMOTE, "ann@laptop", AT)

    run = rolled_out(replace(HOLD, rules=Rules(prompt=True)), promote_then)
    assert run.outcomes() == [Outcome.COMMITTED] * 2
    (note,) = (event.text for event in run.events if isinstance(event, Noted))
    assert "shipit promote PLAYBOOK" in note


@pytest.mark.parametrize("allowed", [None, 1])
def test_a_canary_that_crashes_while_it_is_held_rolls_back_whatever_is_allowed(
    allowed: int | None,
) -> None:
    made, hosts, diary = fleet("a b", {"a": {"tell asked": Phase.ROLLED_BACK}})
    made.hold = replace(HOLD, least=LONG)
    with ThreadPoolExecutor(4) as executor:
        policy = Policy(max_failures=allowed, canaries=("a",))
        drive(made, policy, executor, lambda _: None)
    results = made.results()
    assert [it.outcome for it in results.values()] == [Outcome.ROLLED_BACK, Outcome.DISCARDED]
    assert results["b"].because == "a, a canary, failed"
    assert ("b", "switch") not in diary
    assert hosts["b"].running == OLD


def test_a_ctrl_c_ends_a_hold() -> None:
    def press(run: Run, event: Event) -> None:
        if isinstance(event, CanaryHeld):
            run.fleet.interrupted = True

    run = rolled_out(replace(HOLD, least=LONG, checks=(Scripted([PASS]),)), press)
    assert run.outcomes() == [Outcome.ROLLED_BACK, Outcome.DISCARDED]
    assert exit_status(run.fleet.results(), interrupted=True) == 130
    assert run.of(CanaryEnded) == []


def test_a_bug_in_a_question_to_a_canary_is_that_hosts_failure() -> None:
    run = rolled_out(replace(HOLD, least=LONG), faults={"a": {"tell asked": ValueError("?")}})
    assert run.outcomes() == [Outcome.UNKNOWN, Outcome.DISCARDED]


def test_canaries_alone_are_held_and_then_committed() -> None:
    made, _, diary = fleet("a b")
    made.hold = HOLD
    with ThreadPoolExecutor(4) as executor:
        drive(made, Policy(canaries=("a", "b")), executor, lambda _: None)
    acts = [act for _, act in diary]
    assert acts.index("tell promote") < acts.index("commit")
    assert made.mixed.seconds == 0, "there was one batch"

"""The conversation with one host, over a scripted wire."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from shipit import events
from shipit.agent.protocol import messages
from shipit.agent.protocol.answers import Result
from shipit.errors import HostError, Unreachable
from shipit.release.build import Blob, BuiltRelease
from shipit.rollout import host_session as sessions
from shipit.rollout.assignment import Assignment, Job
from shipit.rollout.host_session import HostSession, RefusedError
from shipit.rollout.phase import Phase, Transition
from unit.release.test_plan import facts, manifest

if TYPE_CHECKING:
    from collections.abc import Callable

ATTEMPT = messages.Attempt("t1", "deploy", "me@laptop", 1, "2026-01-01T00:00:00+00:00")
FAILURE = messages.Failure("gate-failed", "GET /healthz: expected 200, got 500", "check")
ACTIVATING = messages.Activating("t1")
BLOB = Blob("ab" * 32, Path("demo.whl"), 100)


@dataclass
class ScriptedWire:
    """Answers with what it was given, in order; then the stream has ended."""

    answers: deque[object]
    sent: list[object] = field(default_factory=list)
    renewals: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    closed: bool = False
    patience: list[float] = field(default_factory=list)  # seconds, of each wait
    each: Callable[[], object] = bool  # what happens at each wait

    def send(self, message: object, body: bytes = b"") -> None:
        self.sent.append(message)
        if isinstance(message, messages.Renew):
            self.renewals.release()

    def receive(self, timeout: float, awaited: str = "") -> messages.Frame | None:
        self.patience.append(timeout)
        self.each()
        if not self.answers:
            return None
        answer = self.answers.popleft()
        if isinstance(answer, HostError):
            raise answer
        return messages.Frame(answer, b"")

    def close(self) -> None:
        self.closed = True


class Clock:
    """A clock that only tests move."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def pass_by(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(sessions, "time", SimpleNamespace(monotonic=lambda: clock.seconds))
    return clock


def session(*answers: object) -> tuple[HostSession, ScriptedWire, list[events.Event]]:
    wire, reported = ScriptedWire(deque(answers)), list[events.Event]()

    def ship(blobs: tuple[Blob, ...], progress: object) -> None:
        wire.sent.append(blobs)

    return HostSession("web1", wire, ship, reported.append), wire, reported


def job(built: BuiltRelease | None = None, lease: float = 3600.0) -> Job:
    return Job(ATTEMPT, "1.1.0-aaaaaaaa", built, lease)


def built(*blobs: Blob) -> BuiltRelease:
    texts, env = {"units/a.service": ""}, {"web": 'KEY="hunter2"'}
    return BuiltRelease(manifest(), texts, env, blobs=blobs)


def settled(outcome: Result, failure: messages.Failure | None = None) -> messages.Settled:
    running = "1.1.0-aaaaaaaa" if outcome is Result.COMMITTED else "1.0.0-z"
    return messages.Settled("t1", outcome, running, failure)


def test_what_is_said_before_an_answer_becomes_events() -> None:
    talk, _, reported = session(
        messages.StepBegan("venv"), messages.StepEnded("venv", 0.5, ok=True), facts()
    )
    assert talk.hello(messages.Hello("demo", "/opt/demo")) == facts()
    assert reported == [
        events.StepBegan("web1", "venv"),
        events.StepEnded("web1", "venv", 0.5, ok=True),
    ]


def test_a_failure_is_raised_with_all_that_the_host_said() -> None:
    talk, _, _ = session(FAILURE)
    with pytest.raises(RefusedError, match="expected 200, got 500") as error:
        talk.hello(messages.Hello("demo", "/opt/demo"))
    assert (error.value.code, error.value.step, error.value.host) == (
        "gate-failed",
        "check",
        "web1",
    )


def test_a_stream_that_ends_early_is_a_lost_link() -> None:
    talk, _, _ = session()
    with pytest.raises(HostError, match="link-lost"):
        talk.hello(messages.Hello("demo", "/opt/demo"))


def test_staging_sends_what_is_missing_first_and_then_the_release() -> None:
    talk, wire, reported = session(messages.Staged("1.1.0-aaaaaaaa", reused=False))
    assert Assignment(talk, job(built(BLOB))).stage() == Transition(Phase.STAGED)
    steps = [event.step for event in reported if isinstance(event, events.StepBegan)]
    assert steps == ["send", "staged"]
    blobs, renewal, stage = wire.sent
    assert blobs == (BLOB,)
    assert renewal == messages.Renew("t1", 3600.0)
    assert isinstance(stage, messages.Stage)


def test_a_release_that_lies_on_the_host_is_not_staged_again() -> None:
    talk, wire, _ = session()
    assert Assignment(talk, job()).stage() == Transition(Phase.STAGED)
    assert wire.sent == []


def test_env_values_are_not_in_a_repr() -> None:
    assert "hunter2" not in repr(job(built()))


def test_a_healthy_host_waits_and_is_committed() -> None:
    talk, wire, _ = session(
        ACTIVATING, messages.Healthy("t1", "1.1.0-aaaaaaaa"), settled(Result.COMMITTED)
    )
    part = Assignment(talk, job())
    assert part.switch().phase is Phase.HEALTHY
    assert part.commit().phase is Phase.COMMITTED
    assert wire.sent[-1] == messages.Settle("t1", "commit")


def test_a_host_that_fails_its_gate_comes_back_with_the_reason() -> None:
    talk, _, _ = session(ACTIVATING, settled(Result.ROLLED_BACK, FAILURE))
    transition = Assignment(talk, job()).switch()
    assert transition.phase is Phase.ROLLED_BACK
    assert transition.release == "1.0.0-z"
    assert transition.problem is not None
    assert transition.problem.what == FAILURE.what


def test_a_switch_that_the_host_refuses_has_not_begun() -> None:
    talk, _, _ = session(messages.Failure("locked", "held by ann@mac", "activate"))
    with pytest.raises(RefusedError, match="ann@mac"):
        Assignment(talk, job()).switch()


def test_a_failure_of_the_host_after_its_switch_began_is_not_taken_for_a_refusal() -> None:
    talk, _, _ = session(ACTIVATING, messages.Failure("agent-bug", "the agent failed", "agent"))
    transition = Assignment(talk, job()).switch()
    assert transition.phase is Phase.UNKNOWN
    assert transition.problem is not None
    assert transition.problem.code == "agent-bug"


@pytest.mark.parametrize("heard", [(), (ACTIVATING,)], ids=["before", "after"])
def test_a_link_lost_after_the_switch_was_asked_for_is_an_outcome(
    heard: tuple[object, ...],
) -> None:
    talk, _, _ = session(*heard)
    transition = Assignment(talk, job()).switch()
    assert transition.phase is Phase.UNKNOWN
    assert transition.problem is not None


@pytest.mark.parametrize(
    ("outcome", "phase"),
    [
        (Result.COMMITTED, Phase.COMMITTED),  # somebody else's verdict came first
        (Result.ROLLED_BACK, Phase.ROLLED_BACK),
        (Result.STUCK, Phase.STUCK),
    ],
)
def test_the_host_says_how_it_ended_whatever_was_asked(outcome: Result, phase: Phase) -> None:
    talk, _, _ = session(ACTIVATING, messages.Healthy("t1", "1.1.0-aaaaaaaa"), settled(outcome))
    part = Assignment(talk, job())
    part.switch()
    assert part.roll_back().phase is phase


def test_a_staged_host_is_unstaged_and_not_reverted() -> None:
    talk, wire, _ = session(
        messages.Staged("1.1.0-aaaaaaaa", reused=False), settled(Result.DISCARDED)
    )
    part = Assignment(talk, job(built()))
    part.stage()
    assert part.roll_back().phase is Phase.DISCARDED
    assert wire.sent[-1] == messages.Unstage("t1")


def test_the_lease_is_renewed_until_the_end() -> None:
    talk, wire, _ = session(
        ACTIVATING, messages.Healthy("t1", "1.1.0-aaaaaaaa"), settled(Result.COMMITTED)
    )
    part = Assignment(talk, job(lease=0.03))
    part.switch()
    for _ in range(3):
        assert wire.renewals.acquire(timeout=60)
    part.commit()


def test_a_staging_host_hears_of_its_controller_until_the_switch_and_on() -> None:
    talk, wire, _ = session(
        messages.Staged("1.1.0-aaaaaaaa", reused=False),
        ACTIVATING,
        messages.Healthy("t1", "1.1.0-aaaaaaaa"),
        settled(Result.COMMITTED),
    )
    part = Assignment(talk, job(built(), lease=0.03))
    part.stage()
    for _ in range(3):
        assert wire.renewals.acquire(timeout=60)
    part.switch()
    for _ in range(3):
        assert wire.renewals.acquire(timeout=60)
    part.commit()


def test_a_host_that_could_not_be_staged_is_left_in_silence() -> None:
    talk, _, _ = session(FAILURE)
    part = Assignment(talk, job(built(), lease=0.03))
    with pytest.raises(RefusedError):
        part.stage()
    assert part._keeper is not None
    part._keeper._thread.join(60)
    assert not part._keeper._thread.is_alive()


def test_a_host_that_says_nothing_counts_as_hung_however_long_its_gate_may_take() -> None:
    talk, wire, _ = session(
        ACTIVATING, messages.Healthy("t1", "1.1.0-aaaaaaaa"), settled(Result.COMMITTED)
    )
    part = Assignment(talk, job())
    part.switch()
    part.commit()
    assert max(wire.patience) == messages.SILENCE > 2 * messages.HEARTBEAT


def test_a_host_at_work_is_waited_for_as_long_as_it_says_so(now: Clock) -> None:
    alive = [messages.Alive()] * 360
    talk, wire, _ = session(ACTIVATING, *alive, settled(Result.ROLLED_BACK, FAILURE))
    wire.each = partial(now.pass_by, 10.0)
    assert Assignment(talk, job()).switch().phase is Phase.ROLLED_BACK


def test_a_host_that_is_at_work_without_end_is_given_up(now: Clock) -> None:
    talk, wire, _ = session(ACTIVATING, *[messages.Alive()] * 99)
    wire.each = partial(now.pass_by, 10.0)
    transition = Assignment(talk, replace(job(), patience=600.0)).switch()
    assert transition.problem is not None
    assert (transition.phase, transition.problem.code) == (Phase.UNKNOWN, "no-answer")
    assert "waited 600 s for the gate" in transition.problem.what


def test_a_host_that_hangs_in_its_recovery_takes_no_part() -> None:
    hung = HostError("no-answer", "the host did not answer in time", host="web1")
    talk, wire, _ = session(messages.StepBegan("recover"), hung)
    with pytest.raises(Unreachable, match="no-answer"):
        talk.hello(messages.Hello("demo", "/opt/demo", recover=True))
    assert max(wire.patience) <= messages.SILENCE


def test_a_host_that_talks_without_end_is_not_listened_to_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sessions, "MOST_MESSAGES", 50)
    talk, _, _ = session(*[messages.StepBegan("venv")] * 51)
    with pytest.raises(HostError, match="bad-answer"):
        talk.hello(messages.Hello("demo", "/opt/demo"))


def test_a_host_that_runs_another_app_in_its_place_is_not_believed() -> None:
    talk, _, _ = session(facts(replace(manifest(), app="other")))
    with pytest.raises(HostError, match="other runs instead of demo"):
        talk.hello(messages.Hello("demo", "/opt/demo"))


def test_an_agent_of_another_protocol_is_not_understood_half_way() -> None:
    talk, _, _ = session(replace(facts(), protocol=messages.VERSION + 1))
    with pytest.raises(HostError, match=f"version 2 of the protocol, not {messages.VERSION}"):
        talk.hello(messages.Hello("demo", "/opt/demo"))


def test_a_host_has_nothing_that_it_was_not_asked_for() -> None:
    talk, _, _ = session(replace(facts(), present=("b" * 64, "a" * 64)))
    said = talk.hello(messages.Hello("demo", "/opt/demo", blobs=("a" * 64,)))
    assert said.present == ("a" * 64,)


OTHER = messages.Settled("t1", Result.COMMITTED, "9.9.9-other")


@pytest.mark.parametrize(
    "answers",
    [
        (messages.Activating("t2"),),
        (ACTIVATING, messages.Healthy("t2", "1.1.0-aaaaaaaa")),
        (ACTIVATING, messages.Healthy("t1", "9.9.9-other")),
        (ACTIVATING, OTHER),
        (ACTIVATING, replace(settled(Result.ROLLED_BACK), txn="t2")),
    ],
)
def test_a_host_that_speaks_of_something_else_is_lost(answers: tuple[object, ...]) -> None:
    before = set(threading.enumerate())
    talk, _, _ = session(*answers)
    transition = Assignment(talk, job(lease=0.01)).switch()
    assert transition.problem is not None
    assert (transition.phase, transition.problem.code) == (Phase.UNKNOWN, "bad-answer")
    for keeper in set(threading.enumerate()) - before:  # its lease is its own now
        keeper.join(60.0)
        assert not keeper.is_alive()


def test_a_host_that_commits_another_release_is_lost() -> None:
    talk, _, _ = session(ACTIVATING, messages.Healthy("t1", "1.1.0-aaaaaaaa"), OTHER)
    part = Assignment(talk, job())
    part.switch()
    assert part.commit().phase is Phase.UNKNOWN


def test_an_interrupted_switch_rolls_back_and_an_interrupted_staging_is_disconnected() -> None:
    talk, wire, _ = session(ACTIVATING, messages.Healthy("t1", "1.1.0-aaaaaaaa"))
    part = Assignment(talk, job())
    part.interrupt()
    assert wire.closed  # what it had staged is discarded
    part.switch()
    part.interrupt()
    assert wire.sent[-1] == messages.Settle("t1", "revert")

"""One host's part: what it fetches itself is not sent to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fake_fleet import NEW, FakeStream, Liar
from shipit import events
from shipit.agent.protocol import messages
from shipit.agent.protocol.answers import Result
from shipit.agent.protocol.controls import AskControls, Control, Controls
from shipit.agent.protocol.pulls import Pulled as PulledBytes
from shipit.errors import HostError
from shipit.release.build import Blob, BuiltRelease
from shipit.release.pulling import RemoteBundle
from shipit.rollout.assignment import MOST_PAUSES, Assignment, Job
from shipit.rollout.host_session import HostSession
from shipit.rollout.phase import Phase, Transition
from shipit.secrets import SecretUrl
from shipit.transport.channel import FrameWire

ATTEMPT = messages.Attempt("txn-1", "deploy", "me@here", 1, "2026-01-01T00:00:00Z")
THERE, ELSEWHERE = Blob("a" * 64, Path("a.whl"), 2), Blob("b" * 64, Path("b.whl"), 3)
URL = "https://store.example.com/x.shipit?sig=deadbeefdeadbeef"


class Session:
    """A session with a fake host, and what was sent over it."""

    def __init__(self, liar: Liar | None = None) -> None:
        self.sent, self.events = list[Blob](), list[events.Event]()
        self.stream = FakeStream(liar)
        self.asked: list[object] = []
        wire = FrameWire("web1", self.stream)
        self.session = HostSession("web1", wire, self.ship, self.events.append)

    def ship(self, blobs: tuple[Blob, ...], _progress: object) -> None:
        self.sent += blobs

    def stage(self, *blobs: Blob, pulled: RemoteBundle | None) -> None:
        job = Job(ATTEMPT, NEW.id, BuiltRelease(NEW, {}, blobs=blobs, pulled=pulled), 60.0)
        assignment = Assignment(self.session, job)
        try:
            assignment.stage()
        finally:
            assignment.close()

    def steps(self) -> list[str]:
        return [each.step for each in self.events if isinstance(each, events.StepBegan)]


PULLED = RemoteBundle(SecretUrl(URL), {THERE.sha256: 100})


def test_a_host_fetches_what_is_at_the_url_and_is_sent_the_rest() -> None:
    made = Session()
    made.stage(THERE, ELSEWHERE, pulled=PULLED)
    assert made.sent == [ELSEWHERE]
    assert made.steps()[:2] == ["pull", "send"]
    assert events.Pulled("web1", 1, 2) in made.events
    assert "deadbeef" not in repr(made.events)


@pytest.mark.parametrize(
    ("blobs", "pulled"), [((), PULLED), ((ELSEWHERE,), PULLED), ((THERE, ELSEWHERE), None)]
)
def test_nothing_is_fetched_without_need(
    blobs: tuple[Blob, ...], pulled: RemoteBundle | None
) -> None:
    made = Session()
    made.stage(*blobs, pulled=pulled)
    assert made.sent == [*blobs]
    assert "pull" not in made.steps()


def test_a_failed_download_is_the_hosts_failure_and_nothing_is_staged() -> None:
    failure = messages.Failure("pull-refused", "the server answers with status 403", "pull")
    made = Session(Liar(PulledBytes, lambda _: [failure]))
    with pytest.raises(HostError) as caught:
        made.stage(THERE, pulled=PULLED)
    assert (caught.value.code, caught.value.step) == ("pull-refused", "pull")
    assert made.steps() == ["pull"]


def test_a_store_that_no_longer_signs_is_the_hosts_failure_too() -> None:
    made = Session()
    with pytest.raises(HostError) as caught:
        made.stage(THERE, pulled=RemoteBundle(SecretUrl("memory://x/y"), PULLED.offsets))
    assert (caught.value.code, made.steps()) == ("pull-unsigned", ["pull"])


def test_a_staged_host_says_who_has_paused_the_run() -> None:
    made = Session()
    assignment = Assignment(made.session, Job(ATTEMPT, NEW.id, BuiltRelease(NEW, {}), 60.0))
    assert assignment.paused() == ""
    at = "2026-01-01T00:00:00Z"
    made.stream.host.pause = Control("pause", "ann@laptop", at, "errors", txn="txn-1")
    assert assignment.paused() == f"by ann@laptop since {at}: errors"
    made.stream.host.pause = Control("pause", "ann@laptop", at, txn="txn-1")
    assert assignment.paused() == f"by ann@laptop since {at}"
    forged = Control("pause", "ann@laptop", at, "no\nweb2  committed  1.1.0", txn="txn-1")
    made.stream.host.pause = forged
    assert "\n" not in assignment.paused(), "a host writes no lines of the output"


def test_a_host_that_does_not_answer_pauses_nothing() -> None:
    made = Session(Liar(Controls, lambda _: [b"junk\n"]))
    job = Job(ATTEMPT, NEW.id, BuiltRelease(NEW, {}), 60.0)
    assert Assignment(made.session, job).paused() == ""


def test_a_rollback_has_staged_nothing_and_is_not_asked_about_a_pause() -> None:
    made = Session()
    at = "2026-01-01T00:00:00Z"
    made.stream.host.pause = Control("pause", "ann@laptop", at, "errors", txn="txn-1")
    assert Assignment(made.session, Job(ATTEMPT, NEW.id, None, 60.0)).paused() == ""


def test_a_canary_says_what_stands_or_how_it_has_ended() -> None:
    made = Session()
    assignment = Assignment(made.session, Job(ATTEMPT, NEW.id, None, 60.0))
    answer = assignment.tell(AskControls())
    assert isinstance(answer, Controls)
    failure = messages.Failure("unit-failed", "it crashed", "check")
    settled = messages.Settled(ATTEMPT.txn, Result.ROLLED_BACK, "r1", failure)
    ended = Session(Liar(Controls, lambda _: [settled]))
    crashed = Assignment(ended.session, Job(ATTEMPT, NEW.id, None, 60.0)).tell(AskControls())
    assert isinstance(crashed, Transition)
    assert (crashed.phase, crashed.release) == (Phase.ROLLED_BACK, "r1")
    assert crashed.problem
    assert crashed.problem.code == "unit-failed"


def test_a_canary_that_is_lost_is_left_to_its_lease() -> None:
    lost = Session(Liar(Controls, lambda _: [b"junk\n"]))
    answer = Assignment(lost.session, Job(ATTEMPT, NEW.id, None, 60.0)).tell(AskControls())
    assert isinstance(answer, Transition)
    assert answer.phase is Phase.UNKNOWN


def paused_switch(*, times: int) -> list[Transition | str]:
    """Let a host refuse to be switched because the run is paused; return what became of it."""
    failure = messages.Failure("paused", "the run is paused by ann@laptop", "arm")
    made = Session(Liar(messages.Activating, lambda _: [failure]))
    assignment = Assignment(made.session, Job(ATTEMPT, NEW.id, BuiltRelease(NEW, {}), 60.0))
    found: list[Transition | str] = []
    try:
        for _ in range(times):
            made.stream._out.clear()  # an agent that refuses sends nothing more
            found.append(assignment.switch())
    except HostError as error:
        found.append(error.code)
    finally:
        assignment.close()
    return found


def test_a_host_whose_run_is_paused_stays_staged() -> None:
    assert paused_switch(times=1) == [Transition(Phase.STAGED)]


def test_a_host_that_is_paused_without_end_has_failed() -> None:
    found = paused_switch(times=MOST_PAUSES + 1)
    assert found == [*[Transition(Phase.STAGED)] * MOST_PAUSES, "paused"]

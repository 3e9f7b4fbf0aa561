"""After a run its hosts agree whether they hold the release."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from fake_fleet import FakeStream, Liar
from shipit.agent.protocol.controls import Control, Controls
from shipit.agent.protocol.messages import Attempt
from shipit.events import Event, HostResult, Noted, Outcome, Problem
from shipit.rollout import verdict
from shipit.rollout.connections import Connections
from shipit.rollout.host_session import HostSession
from shipit.transport.channel import FrameWire

AT = "2026-01-01T00:00:00+00:00"
ATTEMPT = Attempt("t1", "deploy", "ci@runner", 1, "2026-01-01T00:00:00+00:00")
BAD = HostResult(Outcome.ROLLED_BACK, "r1", Problem("", "check-failed", "answered 500\nmore"))
LOST = HostResult(Outcome.UNKNOWN, "", Problem("", "link-lost", "no answer"))
CUT = HostResult(Outcome.ROLLED_BACK, "r1", Problem("", "lease-expired", "nobody confirmed"))
BACK = HostResult(Outcome.ROLLED_BACK, "r1", because="1 of 2 hosts failed")
# The budget was spent while its gate ran: what it says then counts for nothing.
CALLED = HostResult(Outcome.ROLLED_BACK, "r1", Problem("", "check-failed", "late"), "1 of 2 failed")
# Its canary was aborted: that is a verdict, though the run was rolled back for it.
ABORTED = HostResult(
    Outcome.ROLLED_BACK, "r1", Problem("", "canary-aborted", "answered 500"), "aborted by ann"
)
STAGED = HostResult(Outcome.DISCARDED, "r1", because="1 of 2 hosts failed")
DONE = HostResult(Outcome.COMMITTED, "r2")
SAME = HostResult(Outcome.UNCHANGED, "r2")
FIRST = HostResult(Outcome.ROLLED_BACK, "", Problem("", "check-failed", "answered 500"))
AWAY = HostResult(Outcome.UNREACHABLE, "")


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ((BAD, BACK, STAGED, AWAY), {"b": "hold", "c": "hold"}),
        ((BAD, CALLED), {"b": "hold"}),
        ((BAD, BAD), {}),  # each holds it by its own history
        ((ABORTED, STAGED, STAGED), {"b": "hold", "c": "hold"}),
        ((ABORTED, ABORTED, STAGED), {"c": "hold"}),
        ((BAD, DONE), {"a": "unhold"}),
        ((BAD, SAME), {"a": "unhold"}),  # within the limits: the fleet runs it
        ((BAD, BACK, SAME), {"b": "hold"}),
        ((FIRST, BACK), {}),  # its host may be to blame
        ((LOST, BACK), {}),
        ((CUT, BACK), {}),
        ((CALLED, BACK), {}),
        ((DONE, DONE), {}),
    ],
)
def test_what_the_hosts_record(results: tuple[HostResult, ...], expected: dict[str, str]) -> None:
    hosts = dict(zip("abcd", results, strict=False))
    releases = {name: f"r2-of-{name}" for name in hosts}
    said = verdict.controls(hosts, releases, ATTEMPT)
    assert {name: control.what for name, control in said.items()} == expected
    for name, control in said.items():
        assert (control.release, control.who) == (releases[name], "ci@runner")
        assert control.why == "it failed on a: answered 500"


def test_a_host_that_got_no_release_records_nothing() -> None:
    assert verdict.controls({"a": BAD, "b": BACK}, {"a": "r2"}, ATTEMPT) == {}


def test_each_host_records_it_and_one_that_cannot_is_noted() -> None:
    good, bad = FakeStream(None), FakeStream(Liar(Controls, lambda _: [b"junk\n"]))
    reported: list[Event] = []
    sessions = {
        name: HostSession(name, FrameWire(name, stream), lambda *_: None, reported.append)
        for name, stream in {"a": good, "b": bad}.items()
    }
    said = {name: Control("hold", "ci@runner", AT, release="r2") for name in "abc"}
    with ThreadPoolExecutor(2) as executor:
        verdict.agree(said, Connections(executor, reported.append, sessions))
    assert good.host.said == ["hold"]
    (note,) = reported
    assert isinstance(note, Noted)
    assert (note.host, note.text[:33]) == ("b", "it did not record the hold of r2:")

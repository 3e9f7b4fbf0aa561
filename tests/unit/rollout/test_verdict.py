"""After a run its hosts agree whether they hold the release."""

from __future__ import annotations

import pytest

from shipit.agent.protocol.messages import Attempt
from shipit.events import HostResult, Outcome, Problem
from shipit.rollout import verdict

ATTEMPT = Attempt("t1", "deploy", "ci@runner", 1, "2026-01-01T00:00:00+00:00")
BAD = HostResult(Outcome.ROLLED_BACK, "r1", Problem("", "check-failed", "answered 500\nmore"))
LOST = HostResult(Outcome.UNKNOWN, "", Problem("", "link-lost", "no answer"))
CUT = HostResult(Outcome.ROLLED_BACK, "r1", Problem("", "lease-expired", "nobody confirmed"))
BACK = HostResult(Outcome.ROLLED_BACK, "r1", because="1 of 2 hosts failed")
# The budget was spent while its gate ran: what it says then counts for nothing.
CALLED = HostResult(Outcome.ROLLED_BACK, "r1", Problem("", "check-failed", "late"), "1 of 2 failed")
STAGED = HostResult(Outcome.DISCARDED, "r1", because="1 of 2 hosts failed")
DONE = HostResult(Outcome.COMMITTED, "r2")
AWAY = HostResult(Outcome.UNREACHABLE, "")


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ((BAD, BACK, STAGED, AWAY), {"b": "hold", "c": "hold"}),
        ((BAD, CALLED), {"b": "hold"}),
        ((BAD, BAD), {}),  # each holds it by its own history
        ((BAD, DONE), {"a": "unhold"}),
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

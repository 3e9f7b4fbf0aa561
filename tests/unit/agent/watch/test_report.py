"""What was done about a failure, as status says it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shipit.agent.protocol.answers import WatchFailure
from shipit.agent.records.history import Entry
from shipit.agent.records.watches import Findings
from shipit.agent.watch.report import done

FOUND = WatchFailure("check-failed", "no answer", "", "", "2026-11-30T18:00:00Z")
KNOWN = Findings("t2", found=FOUND)
ROLLED, SEE = "the rollback to r1", ": see shipit releases"
BEGUN = replace(KNOWN, rollback="t3", target="r1")


def ended(how: str) -> list[Entry]:
    return [Entry("t3", "rollback", "r1", "1", "r2", how, "w", "2026-11-30T18:00:00Z")]


@pytest.mark.parametrize(
    ("known", "attempts", "running", "said"),
    [
        (Findings("t2"), [], "", ""),
        (KNOWN, [], "", "it is only reported"),
        (replace(BEGUN, why_not="no room"), [], "", "it is not rolled back: no room"),
        (BEGUN, [], "t3", "it is being rolled back to r1"),
        (BEGUN, ended("stuck"), "t3", f"{ROLLED} has failed, and the host is stuck{SEE}"),
        (BEGUN, ended("discarded"), "", f"{ROLLED} was given up before its switch{SEE}"),
        (BEGUN, ended("of a newer version"), "", f"{ROLLED} has ended{SEE}"),
    ],
)
def test_status_says_what_was_done(
    known: Findings, attempts: list[Entry], running: str, said: str
) -> None:
    assert done(known, attempts, running, is_due=False) == said


def test_status_says_that_a_rollback_is_due_also_before_its_target_is_known() -> None:
    assert done(KNOWN, [], "", is_due=True) == "it will be rolled back to the release before it"
    assert done(BEGUN, [], "t9", is_due=True) == "it will be rolled back to r1"

"""What is due of a watch, by its records and the clock."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shipit.agent.protocol.answers import WatchFailure
from shipit.agent.protocol.manifest import REPORT, ROLLBACK, Watch
from shipit.agent.records.history import Entry
from shipit.agent.records.watches import Findings, Watched
from shipit.agent.watch.due import Due, due, has_begun

OF = Watched("t2", "r2", 1000.0, "boot-1", "a.pyz", is_rollback=False)
WATCH = Watch(600.0, 30.0, on_failure=REPORT, at_boot=ROLLBACK)
NOTHING = Findings("t2")
FOUND = WatchFailure("check-failed", "no answer", "", "", "2026-11-30T18:00:00Z")
ILL = replace(NOTHING, boot="boot-1", found=FOUND, failed_at=1200.0)
ILL_AT_BOOT = replace(ILL, boot="boot-2", found=replace(FOUND, at_boot=True), failed_at=9000.0)


def now(known: Findings, at: float, boot: str = "boot-1", *, begun: bool = False) -> Due:
    return due(OF, known, WATCH, boot=boot, now=at, has_begun=begun)


def test_it_lasts_from_the_commit_for_its_time() -> None:
    assert now(NOTHING, 1100.0) == Due(1600.0, left=500.0, check=False, rollback=False)
    assert not now(NOTHING, 1600.0).is_any


def test_an_ended_one_is_not_due_whatever_the_clock_says() -> None:
    assert not now(replace(NOTHING, ended="2026-11-30T18:00:00Z"), -1e6).is_any


def test_each_boot_is_checked_until_it_is_known_to_be_healthy_or_failed() -> None:
    assert now(NOTHING, 9000.0, "boot-2").check
    assert now(ILL, 9000.0, "boot-2") == Due(1600.0, left=-7400.0, check=True, rollback=False)
    assert not now(replace(NOTHING, boot="boot-2"), 9000.0, "boot-2").is_any


def test_a_failure_is_looked_at_on_for_an_hour_after_the_end_or_after_a_boot() -> None:
    assert now(ILL, 1300.0).until == 1600.0 + 3600.0
    assert now(ILL_AT_BOOT, 9000.0, "boot-2").until == 9000.0 + 3600.0
    over = replace(ILL, found=replace(FOUND, until="2026-11-30T18:05:00Z"))
    assert now(over, 1300.0).until == 1600.0


@pytest.mark.parametrize(
    ("known", "begun", "is_due"),
    [
        (ILL_AT_BOOT, False, True),
        (replace(ILL_AT_BOOT, ended="2026-11-30T18:00:00Z"), False, True),
        (ILL_AT_BOOT, True, False),
        (replace(ILL_AT_BOOT, why_not="no room"), False, False),
        (replace(ILL_AT_BOOT, found=replace(FOUND, at_boot=True, until="now")), False, False),
        (replace(ILL_AT_BOOT, found=FOUND), False, False),  # on_failure only reports
    ],
)
def test_a_rollback_is_due_until_it_has_begun_or_cannot_be(
    known: Findings,
    begun: bool,  # noqa: FBT001 - a column of the table
    is_due: bool,  # noqa: FBT001
) -> None:
    assert now(known, 99999.0, "boot-2", begun=begun).rollback is is_due


def test_a_rollback_has_begun_once_it_is_open_or_in_the_history() -> None:
    begun = replace(ILL, rollback="t3")
    ended = Entry("t3", "rollback", "r1", "1", "r2", "discarded", "w", "2026-11-30T18:00:00Z")
    assert not has_begun(ILL, [], "")
    assert not has_begun(begun, [], "t9")
    assert has_begun(begun, [], "t3")
    assert has_begun(begun, [ended], "")

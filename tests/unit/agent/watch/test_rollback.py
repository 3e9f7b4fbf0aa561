"""To which release a host rolls back by itself, and why it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shipit.agent.protocol.migrations import APPLIED, FAILED, MigrationLine
from shipit.agent.records.history import Entry, utc
from shipit.agent.records.watches import Watched
from shipit.agent.watch.rollback import choose

WATCHED = Watched("t2", "r2", 0.0, "boot-1", "a.pyz", is_rollback=False)
HISTORY = [
    Entry(f"t{n}", "deploy", f"r{n}", "1", f"r{n - 1}" if n else "", "committed", "a@b", utc(n))
    for n in range(3)
]
MIGRATED = MigrationLine("r2", "1", APPLIED, reversible=False, at=utc(2))


def test_it_is_the_release_that_was_committed_before() -> None:
    assert choose(WATCHED, HISTORY, [], ["r0", "r1", "r2"]) == ("r1", "")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"of": replace(WATCHED, is_rollback=True)}, "does not roll back twice in a row"),
        ({"attempts": HISTORY[2:]}, "there is no release before it"),
        ({"there": ["r0", "r2"]}, "r1, the release before it, is not on this host any more"),
        ({"migrated": [MIGRATED]}, "past an irreversible migration (r2)"),
        ({"migrated": [replace(MIGRATED, state=FAILED)]}, "past an irreversible migration (r2)"),
    ],
)
def test_a_release_is_not_rolled_back(changes: dict[str, object], why: str) -> None:
    usual: dict[str, object] = {"of": WATCHED, "attempts": HISTORY, "migrated": [], "there": ["r1"]}
    target, reason = choose(**{**usual, **changes})  # type: ignore[arg-type] # the tests' own
    assert target == ""
    assert why in reason


def test_a_migration_that_is_reversible_or_older_is_no_obstacle() -> None:
    for line in (replace(MIGRATED, reversible=True), replace(MIGRATED, release="r1", at=utc(1))):
        assert choose(WATCHED, HISTORY, [line], ["r1"]) == ("r1", "")

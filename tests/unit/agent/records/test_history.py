from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from shipit.agent.protocol.answers import Result
from shipit.agent.records import history as histories
from shipit.agent.records.history import Entry
from shipit.agent.server.history_report import (
    FAILURE_KEPT,
    MOST_ATTEMPTS,
    attempt_lines,
    release_lines,
)
from shipit.agent.storage import prune
from shipit.agent.system import files
from shipit.agent.system.paths import Paths


def history(text: str) -> list[Entry]:
    """Read `r1 r2 <r1 r3!`: committed r1, r2, back to r1, r3 rolled back; r4? never switched."""
    return [_entry(str(number), word) for number, word in enumerate(text.split())]


def _entry(txn: str, word: str) -> Entry:
    outcome = {"!": Result.ROLLED_BACK, "?": Result.DISCARDED}.get(word[-1], Result.COMMITTED)
    what = "rollback" if word.startswith("<") else "deploy"
    return Entry(txn, what, word.strip("<!?"), "1", "", outcome, "dev", "2026-01-01T00:00:00Z")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths("app", str(tmp_path / "opt"), str(tmp_path / "var"), str(tmp_path / "units"))


@pytest.mark.parametrize(
    ("text", "head", "target"),
    [
        ("", None, None),
        ("r1", "r1", None),
        ("r1 r2", "r2", "r1"),
        ("r1 r2 r3!", "r2", "r1"),  # a failed one never ran
        ("r1 r2! r3", "r3", "r1"),
        ("r1 r2 r3 <r2", "r2", "r1"),  # two in a row go two back
        ("r1 r2 r3 <r2 <r1", "r1", None),
        ("r1 r2 <r1 r3", "r3", "r1"),  # not to the one that was rolled back from
        ("r1 r2 r1", "r1", "r2"),  # deployed again
        ("r1 r2 r3 <r2!", "r3", "r1"),  # it failed as a rollback target
        ("r1 r2 r3 r2?", "r3", "r2"),  # it was not even tried
        ("r1 r2 r3 <r1", "r1", None),
        ("r1 r2 r2_2", "r2_2", "r1"),  # what was made anew is what it was made of
        ("r1 r1_2 r2", "r2", "r1_2"),
        ("r1 r2 r2_2 r3 <r2_2", "r2_2", "r1"),
        ("r1 r2 r2_2! ", "r2", "r1"),
    ],
)
def test_head_and_rollback_target(text: str, head: str | None, target: str | None) -> None:
    entries = history(text)
    top = histories.head(entries)
    assert (top.release if top else None) == head
    assert histories.rollback_target(entries, head or "") == target


@pytest.mark.parametrize(
    ("text", "running", "behind"),
    [
        ("r1 r2 r3", "r3", "r1 r2"),
        ("r1 r2 r1 r3", "r3", "r2 r1"),  # each once, where it ran last
        ("r1 r2 r3! r4", "r4", "r1 r2"),
        ("r1 r2 r3 <r1", "r1", ""),
    ],
)
def test_the_possible_targets_of_a_rollback(text: str, running: str, behind: str) -> None:
    assert histories.behind(history(text), running) == behind.split()


def test_a_line_is_found_again_and_a_torn_one_left_out(paths: Paths) -> None:
    for entry in history("r1 r2"):
        histories.append(paths, entry)
    with Path(paths.ledger).open("a") as stream:
        stream.write('{"txn": "half a li')
    histories.append(paths, _entry("9", "r3"))
    assert [entry.release for entry in histories.entries(paths)] == ["r1", "r2", "r3"]


def test_the_same_outcome_of_a_transaction_is_recorded_once(paths: Paths) -> None:
    for _ in range(2):
        histories.append(paths, _entry("t1", "r1"))
    histories.append(paths, _entry("t1", "r1!"))
    assert [e.outcome for e in histories.entries(paths)] == [
        Result.COMMITTED,
        Result.ROLLED_BACK,
    ]


def test_a_release_has_one_line_in_the_history_with_its_last_outcome(paths: Paths) -> None:
    lines = release_lines(paths, history("r1 r2 r3! <r1 r2?"))
    assert [(line.id, line.outcome, line.running) for line in lines] == [
        ("r2", "committed", False),
        ("r3", "rolled_back", False),
        ("r1", "committed", True),
    ]


def test_every_attempt_has_a_line_with_its_kind_and_only_the_last_commit_runs(paths: Paths) -> None:
    lines = attempt_lines(paths, history("r1 r2 r3! r4? <r1"))
    assert [(line.what, line.release, line.outcome, line.running) for line in lines] == [
        ("deploy", "r1", "committed", False),
        ("deploy", "r2", "committed", False),
        ("deploy", "r3", "rolled_back", False),
        ("deploy", "r4", "discarded", False),
        ("rollback", "r1", "committed", True),
    ]


def test_an_attempt_that_was_stuck_and_then_settled_has_one_line(paths: Paths) -> None:
    stuck = replace(
        _entry("t2", "r2"), outcome=Result.STUCK, reason="why", failure="x" * 10_000, signed_by="al"
    )
    end = replace(stuck, outcome=Result.ROLLED_BACK)
    [_, line] = attempt_lines(paths, [_entry("t1", "r1"), stuck, end])
    assert (line.outcome, line.reason, len(line.failure)) == ("rolled_back", "why", FAILURE_KEPT)
    assert line.signed_by == "al"


def test_of_very_many_attempts_the_last_are_returned(paths: Paths) -> None:
    lines = attempt_lines(paths, [_entry(str(n), f"r{n}") for n in range(MOST_ATTEMPTS + 5)])
    assert (len(lines), lines[-1].running) == (MOST_ATTEMPTS, True)


@pytest.mark.parametrize(
    ("text", "running", "keep", "stay"),
    [
        ("r1 r2 r3 r4", "r4", 2, "r3 r4"),
        ("r1 r2 r3 r4", "r4", 1, "r3 r4"),  # the rollback target always stays
        ("r1 r2 r3! r4! r5", "r5", 2, "r2 r4 r5"),  # of the failed only the newest
        ("r1 r2 r3 <r1", "r1", 1, "r1"),
        ("r1 r2 r3 r4 <r2", "r2", 2, "r1 r2 r4"),
        ("r1 r2 r2_2 r3", "r3", 2, "r2_2 r3"),  # what was made anew is not needed any more
        ("r1 r2 r2_2", "r2_2", 5, "r1 r2_2"),
        ("r1 r2! r3! r4!", "r1", 3, "r1 r4"),  # failures don't push committed ones out
    ],
)
def test_what_pruning_keeps(text: str, running: str, keep: int, stay: str) -> None:
    assert prune.kept(history(text), running, keep, []) == frozenset(stay.split())


@pytest.mark.parametrize(
    ("word", "result"), [("reverted", Result.ROLLED_BACK), ("failed", Result.DISCARDED)]
)
def test_the_words_of_earlier_versions_are_read_as_the_results_of_today(
    paths: Paths, word: str, result: Result
) -> None:
    files.make_directory(paths.root)
    line = asdict(_entry("t1", "r1"))
    files.append_line(paths.ledger, json.dumps({**line, "outcome": word}).encode())
    histories.append(paths, replace(_entry("t1", "r1"), outcome=result))
    (entry,) = histories.entries(paths)
    assert entry.outcome is result

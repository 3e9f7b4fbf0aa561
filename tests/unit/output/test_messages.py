from __future__ import annotations

import pytest

from recorded_runs import NEW, OLD, ended, problem
from shipit.events import (
    CanaryChecked,
    CanaryEnded,
    CanaryHeld,
    Fetching,
    HostResult,
    Noted,
    Outcome,
    RunEnded,
)
from shipit.output import messages

ALL_BACK = {"web1": Outcome.ROLLED_BACK, "web2": Outcome.DISCARDED}


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (36_000_000, "34.3 MiB"),
        (2**50, "1024.0 TiB"),
    ],
)
def test_bytes_have_a_unit(count: int, text: str) -> None:
    assert messages.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0s"), (9.96, "10.0s"), (60.0, "1m00s"), (3725.4, "62m05s")]
)
def test_durations_have_a_unit(seconds: float, text: str) -> None:
    assert messages.seconds(seconds) == text


def test_a_download_is_measured_in_the_units_of_its_note() -> None:
    known = Fetching("fetching x.shipit", 88_100_000, 137_000_000)
    assert messages.fetching(known, 8.0) == "fetching x.shipit: 88.1 of 137.0 MB, 11.0 MB/s"
    unknown = Fetching("fetching 3 wheels", 1_500_000)
    assert messages.fetching(unknown, 0.5) == "fetching 3 wheels: 1.5 MB"


def test_a_report_keeps_its_own_form() -> None:
    assert messages.line(Noted("one line")) == "note: one line"
    assert messages.line(Noted("rehearsal of x\n\n  act 1\n")) == "rehearsal of x\n\n  act 1"


def test_of_many_names_the_first_are_reported() -> None:
    assert messages.names("abc") == "a, b, c"
    assert messages.names("abcde", limit=2) == "a, b, and 3 more"


@pytest.mark.parametrize(
    ("status", "outcomes", "sentence"),
    [
        (0, {"web1": Outcome.COMMITTED, "web2": Outcome.UNCHANGED}, f"all 2 hosts run {NEW}"),
        (0, {"web1": Outcome.COMMITTED}, f"web1 runs {NEW}"),
        (0, {"web1": Outcome.UNCHANGED}, f"nothing to do: web1 runs {NEW} already"),
        (3, {"web1": Outcome.DISCARDED}, "no host was changed; the previous release keeps running"),
        (3, {"a": Outcome.DISCARDED, "b": Outcome.UNREACHABLE}, "could not be reached: b"),
        (4, ALL_BACK, "failed after the switch; every host is rolled back to its previous release"),
        (5, {"a": Outcome.COMMITTED, "b": Outcome.STUCK}, "1 committed, 1 stuck; check b"),
        (5, {"a": Outcome.UNKNOWN, "b": Outcome.ROLLED_BACK}, "check a"),
        (130, {"web1": Outcome.DISCARDED}, "interrupted; nothing was switched"),
        (130, ALL_BACK, "interrupted; every host is rolled back to its previous release"),
        (130, {"a": Outcome.COMMITTED, "b": Outcome.DISCARDED}, "interrupted; 1 committed, 1 dis"),
        (77, {}, "ended with exit status 77"),
    ],
)
def test_a_run_has_a_verdict(status: int, outcomes: dict[str, Outcome], sentence: str) -> None:
    assert sentence in messages.verdict(ended(status, outcomes))


def test_hosts_with_releases_of_their_own_run_the_wanted_one() -> None:
    hosts = {"a": HostResult(Outcome.COMMITTED, NEW), "b": HostResult(Outcome.COMMITTED, OLD)}
    assert (
        messages.verdict(RunEnded("deploy", "x", 0, hosts)) == "all 2 hosts run the wanted release"
    )


def test_a_failed_first_release_leaves_nothing_and_the_verdict_says_so() -> None:
    reported = messages.verdict(ended(4, {"web1": Outcome.ROLLED_BACK}, release=""))
    assert reported == "failed after the switch; the first release is removed again"


def test_long_evidence_is_cut_to_its_end_unless_the_whole_is_asked_for() -> None:
    failed = problem(evidence="\n".join(f"line {number}" for number in range(100)))
    reported = messages.problem(failed)
    assert reported[1:3] == ["  | ... 60 earlier lines (-v shows all)", "  | line 60"]
    assert "  | line 0" in messages.problem(failed, whole=True)


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_says_what_was_done_about_it(outcome: Outcome) -> None:
    reported = messages.host_summary("web2", HostResult(outcome, OLD, problem()))
    assert reported.startswith("web2: http://")
    assert reported.count("; ") >= 1


@pytest.mark.parametrize("status", [0, 1, 2, 3, 4, 5, 130])
def test_every_exit_status_has_a_word_of_its_own(status: int) -> None:
    words = [messages.outcome(other) for other in messages.OUTCOMES]
    assert words.count(messages.outcome(status)) == 1


def test_a_first_release_that_failed_has_no_old_one_to_be_back_on() -> None:
    reported = messages.host_summary("web2", HostResult(Outcome.ROLLED_BACK, "", problem()))
    assert reported.endswith("no release had run there")


def test_a_canary_is_one_line_for_each_thing_that_happens_to_it() -> None:
    held = CanaryHeld(("web1",), "2026-01-01T00:10:00+00:00", 600.0, "shipit promote does it")
    assert messages.line(held) == (
        "canary web1: held for 10m00s, until 2026-01-01T00:10:00+00:00; shipit promote does it"
    )
    checked = CanaryChecked("errors", "error", "it is\ndown\x1b[31m")
    line = messages.line(checked)
    assert line.startswith("canary check errors: error: it is")
    assert not set(line) & set("\n\x1b")
    assert messages.line(CanaryChecked("errors", "pass", "")) == "canary check errors: pass"
    assert messages.line(CanaryEnded(how="goes on", why="all well")) == "canary goes on: all well"
    rolled_back = CanaryEnded(how="rolls back", why="aborted by ann")
    assert messages.line(rolled_back) == "canary rolls back: aborted by ann"

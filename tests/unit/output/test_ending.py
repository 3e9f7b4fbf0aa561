"""How a run of many hosts ends."""

from __future__ import annotations

from dataclasses import replace

from recorded_runs import NEW, ended
from shipit.events import Outcome
from shipit.output.ending import ending
from shipit.output.progress import Row
from unit.output.test_reports import text


def test_the_end_of_a_large_run_lists_only_what_did_not_go_as_wanted() -> None:
    outcomes = {f"web{number}": Outcome.COMMITTED for number in range(100)}
    outcomes["web7"] = Outcome.STUCK
    rows = {host: Row(host, seconds=1.5) for host in outcomes}
    reported = text(ending(ended(5, outcomes), rows))
    assert reported == (
        "\n"
        "host  outcome  release         time\n"
        f"web7  stuck    {NEW}  1.5s\n"
        "and 99 hosts as wanted\n"
        "web7: its rollback failed; an operator is needed\n"
        "mixed: 99 committed, 1 stuck; check web7 (9.6s)\n"
        "next: fix it and run the command again\n"
    )


def test_the_end_of_several_batches_says_for_how_long_two_releases_were_in_use() -> None:
    one = ended(0, {"web1": Outcome.COMMITTED})
    assert "two releases" not in text(ending(one, {}))
    mixed = replace(one, mixed_seconds=125.0)
    assert "two releases were in use for 2m05s\n" in text(ending(mixed, {}))
    mixed = replace(mixed, exit_status=5)
    assert "two releases have been in use for 2m05s\n" in text(ending(mixed, {}))

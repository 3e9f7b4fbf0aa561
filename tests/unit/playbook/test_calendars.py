"""When a job runs, as systemd reads it; and what a line of cron is in its words."""

from __future__ import annotations

import random
import shutil
import subprocess

import pytest

from shipit.playbook import calendars
from shipit.playbook.parsers import InvalidValueError

GOOD = (
    *calendars.SHORT,
    *("*-*-* 03:00:00", "*-*-* 03:00", "03:00", "*:0/15", "*:*:00", "2027-01-01 00:00", "*-*-01"),
    *("Mon..Fri 06:30", "Mon,Wed,Fri *-*-* 06:00:00", "mon", "Saturday", "Sat,Sun 10:00 UTC"),
    *("*-1..3-01 00:00", "*-*~1 23:59", "Mon *-5~7/1", "*-*-* 0/2:30:00 Europe/Berlin"),
    *("2027-01-01T10:00", "daily UTC", "*-02~03 12:00", "05:00:05.5", "Fri..Sun", "1,15-*-*"),
    *("*-*-1,15 04:00", "*:00/5:30", "Tues 10:00", "Mon-Fri 10:00", "@1700000000"),
)  # fmt: skip
BAD = (
    *("every day", "25:00", "12:60", "5m", "*-13-01", "*-*-32", "03", "noon", "Funday 10:00"),
    *("at 10:00", "10:00 10:00", "*-*-*-*", "::", "Mon..", "a/b", "10:00:61", "hourly daily"),
)


def accepts(text: str) -> bool:
    try:
        calendars.calendar(text)
    except InvalidValueError:
        return False
    return True


@pytest.mark.parametrize("text", GOOD)
def test_what_systemd_takes_is_taken(text: str) -> None:
    assert calendars.calendar(text) == text


@pytest.mark.parametrize("text", BAD)
def test_what_systemd_does_not_take_is_refused(text: str) -> None:
    assert not accepts(text)


def systemd_accepts(texts: list[str]) -> dict[str, bool]:
    argv = ["systemd-analyze", "calendar", "--iterations=0", "--"]
    return {text: subprocess.run([*argv, text], capture_output=True, check=False).returncode == 0
            for text in texts}  # fmt: skip


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
def test_nothing_is_refused_that_systemd_takes() -> None:
    """A refusal of what runs well would be worse than none: 300 random ones, always the same."""
    dice = random.Random(23)  # noqa: S311 - a seed, so that each run plays the same
    days = ["", "", "Mon ", "Mon..Fri ", "Sat,Sun ", "fri,mon..wed ", "Sunday "]
    dates = [
        "",
        "*-*-* ",
        "2030-*-1..7 ",
        "*-1,6,12-01 ",
        "*-*~3 ",
        "*-2/2-* ",
        "2028..2030-01-01 ",
    ]
    parts = ["*", "0", "5", "07", "23", "0/5", "*/2", "1..4", "1,3", "10..20/5", "3..5,9"]
    zones = ["", "", " UTC", " Europe/Paris", " America/New_York"]
    texts = [
        (dice.choice(days) + dice.choice(dates)
         + ":".join(dice.choice(parts) for _ in range(dice.choice([2, 3]))) + dice.choice(zones))
        for _ in range(300)
    ]  # fmt: skip
    wrong = [text for text, good in systemd_accepts([*texts, *GOOD]).items()
             if good and not accepts(text)]  # fmt: skip
    assert wrong == []
    assert [text for text, good in systemd_accepts(list(BAD)).items() if good] == []


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 3 * * *", "*-*-* 03:00:00"),
        ("*/5 * * * *", "*-*-* *:0/5:00"),
        ("30 6 * * 1-5", "Mon..Fri *-*-* 06:30:00"),
        ("0 0 1 * *", "*-*-1 00:00:00"),
        ("15 */2 * * *", "*-*-* 0/2:15:00"),
        ("0 4 * * 0,6", "Sun,Sat *-*-* 04:00:00"),
        ("0 4 * 1-3 *", "*-1..3-* 04:00:00"),
        ("@weekly", "weekly"),
    ],
)
def test_a_cron_line_is_translated_for_systemd(cron: str, expected: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        calendars.calendar(cron)
    assert expected in caught.value.expected
    assert calendars.calendar(expected) == expected


def test_a_line_of_cron_that_systemd_has_no_word_for_is_not_translated() -> None:
    with pytest.raises(InvalidValueError, match="a day of the month or of the week"):
        calendars.calendar("0 0 1 * 1")

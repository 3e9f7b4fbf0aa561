"""Freeze windows: when they begin and end, in weeks and days in which clocks are set, too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipit.playbook.fleet import windows
from shipit.playbook.parsers import InvalidValueError

BERLIN, UTC_ZONE = ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")
WEEKEND = "Fri 16:00..Mon 08:00"
# Berlin's clock is set forward on 2026-03-29 at 02:00 and back on 2026-10-25 at 03:00.
NIGHT = "Sun 02:30..Sun 04:00"
TO_NIGHT = "Sat 20:00..Sun 02:30"


def until(texts: str, now: str, zone: ZoneInfo = BERLIN) -> str:
    """Return the end in UTC, "" if nothing is frozen; `now` is in UTC."""
    parsed = [(windows.window(text), zone) for text in texts.split(" + ")]
    end = windows.until(parsed, datetime.fromisoformat(now + "+00:00"))
    return end.astimezone(UTC).strftime("%Y-%m-%d %H:%M") if end else ""


@pytest.mark.parametrize(
    ("text", "now", "end"),
    [
        # 2026-06-05 is a Friday; Berlin is two hours ahead
        (WEEKEND, "2026-06-05 13:59", ""),
        (WEEKEND, "2026-06-05 14:00", "2026-06-08 06:00"),
        (WEEKEND, "2026-06-07 22:00", "2026-06-08 06:00"),
        (WEEKEND, "2026-06-08 05:59", "2026-06-08 06:00"),
        (WEEKEND, "2026-06-08 06:00", ""),
        # over the clock's change the end moves in UTC
        (WEEKEND, "2026-03-27 15:00", "2026-03-30 06:00"),
        (WEEKEND, "2026-10-23 14:00", "2026-10-26 07:00"),
        # over the turn of the year
        (WEEKEND, "2027-01-01 15:00", "2027-01-04 07:00"),
        # within a day, and all week but for an hour
        ("Tue 09:00..Tue 10:00", "2026-06-02 07:30", "2026-06-02 08:00"),
        ("Tue 09:00..Tue 10:00", "2026-06-02 08:00", ""),
        ("Tue 10:00..Tue 09:00", "2026-06-02 07:30", ""),
        ("Tue 10:00..Tue 09:00", "2026-06-02 08:30", "2026-06-09 07:00"),
        # once
        ("2026-12-20 18:00..2027-01-04 08:00", "2026-12-20 16:59", ""),
        ("2026-12-20 18:00..2027-01-04 08:00", "2026-12-20 17:00", "2027-01-04 07:00"),
        ("2026-12-20 18:00..2027-01-04 08:00", "2027-01-04 07:00", ""),
        # a window that leads into another one
        ("2026-06-05 10:00..2026-06-05 17:00 + " + WEEKEND, "2026-06-05 09:00", "2026-06-08 06:00"),
        ("2026-06-05 10:00..2026-06-05 16:00 + " + WEEKEND, "2026-06-05 09:00", "2026-06-08 06:00"),
        ("2026-06-05 10:00..2026-06-05 15:59 + " + WEEKEND, "2026-06-05 09:00", "2026-06-05 13:59"),
        # 02:30 does not exist: it begins early and ends late
        (NIGHT, "2026-03-29 00:29", ""),
        (NIGHT, "2026-03-29 00:30", "2026-03-29 02:00"),
        (TO_NIGHT, "2026-03-29 01:29", "2026-03-29 01:30"),
        # 02:30 is there twice: it begins at the first and ends at the second
        (NIGHT, "2026-10-25 00:29", ""),
        (NIGHT, "2026-10-25 00:30", "2026-10-25 03:00"),
        (NIGHT, "2026-10-25 01:10", "2026-10-25 03:00"),
        (TO_NIGHT, "2026-10-25 00:31", "2026-10-25 01:30"),
        (TO_NIGHT, "2026-10-25 01:30", ""),
    ],
)
def test_when_a_window_ends(text: str, now: str, end: str) -> None:
    assert until(text, now) == end


def test_windows_that_never_end_are_still_answered() -> None:
    assert until("Mon 00:00..Fri 00:00 + Thu 00:00..Tue 00:00", "2026-06-05 09:00") > "2026-09"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Fri 16:00",
        "Fri..Mon",
        "Fri 16:00-Mon 08:00",
        "16:00..08:00",
        "fri 16:00..mon 08:00",
        "Fri 24:00..Mon 08:00",
        "Fri 16:60..Mon 08:00",
        "Fri 4:00..Mon 08:00",
        "Freitag 16:00..Mon 08:00",
        "Fri 16:00..2026-12-20 18:00",
        "2026-12-20..2027-01-04",
        "2026-02-30 10:00..2026-03-01 10:00",
        "Fri 16:00..Fri 16:00",
        "2026-12-20 18:00..2026-12-20 18:00",
        "2026-12-20 18:00..2026-12-20 17:00",
        "9999-12-30 10:00..9999-12-31 23:59",
        "0001-01-01 00:00..2026-01-01 00:00",
        "Fri 16:00..Mon 08:00..Tue 09:00",
    ],
)
def test_what_cannot_be_understood_is_refused(text: str) -> None:
    with pytest.raises(InvalidValueError):
        windows.window(text)


@pytest.mark.parametrize(
    "value", ["", "Berlin", "Europe/Nowhere", "../../etc/passwd", "/etc/passwd", 1, None]
)
def test_an_unknown_zone_is_refused(value: object) -> None:
    with pytest.raises(InvalidValueError, match="a time zone that this machine knows"):
        windows.zone(value)


ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]
)
CLOCKS = st.builds(
    "{} {:02}:{:02}".format, st.sampled_from(windows.DAYS), st.integers(0, 23), st.integers(0, 59)
)
NOWS = st.integers(1_735_689_600, 1_893_456_000).map(lambda it: datetime.fromtimestamp(it, UTC))


def position(text: str) -> int:
    """Return the minutes since Monday."""
    day, clock = text.split()
    hour, minute = clock.split(":")
    return windows.DAYS.index(day) * 1440 + int(hour) * 60 + int(minute)


@given(CLOCKS, CLOCKS, ZONES, NOWS)
def test_a_week_is_the_wall_clocks_week(start: str, end: str, name: str, now: datetime) -> None:
    """Against the plain rule, away from changes of the clock; and the end is outside."""
    if start == end:
        return
    zone = ZoneInfo(name)
    window = windows.window(f"{start}..{end}")
    found = windows.until([(window, zone)], now)
    if found:
        assert windows.until([(window, zone)], found) is None
        assert timedelta() < found - now < timedelta(days=7, hours=2)
    near = [now + timedelta(days=days) for days in (-1, 0, 1)]
    if len({each.astimezone(zone).utcoffset() for each in near}) > 1:
        return
    wall = now.astimezone(zone)
    minute = wall.weekday() * 1440 + wall.hour * 60 + wall.minute
    first, last = position(start), position(end)
    inside = first <= minute < last if first < last else not last <= minute < first
    assert (found is not None) is inside

"""Windows in which nothing is deployed, as weekly or dated times of a time zone. Pure.

    Fri 16:00..Mon 08:00                    every week
    2026-12-20 18:00..2027-01-04 08:00      once

The end is not part of a window. A time that a clock skips or shows twice, when it is set forward or
back, makes the window the longer one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from shipit.playbook.parsers import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_CLOCK = r"([01]\d|2[0-3]):([0-5]\d)"
_WEEKLY = re.compile(rf"({'|'.join(DAYS)}) {_CLOCK}")
_DATED = re.compile(rf"(\d{{4}}-\d{{2}}-\d{{2}}) {_CLOCK}")
_WEEK = timedelta(days=7)
_EXAMPLES = '"Fri 16:00..Mon 08:00" or "2026-12-20 18:00..2027-01-04 08:00"'
YEARS = range(1970, 9999)  # a year more or less fits into a datetime
MOST_STEPS = 100  # from window to window: those of a whole week never end


@dataclass(frozen=True)
class Weekly:
    """A time of each week."""

    day: int  # 0 is Monday
    clock: time


@dataclass(frozen=True)
class Window:
    """From a time to another one of the same kind, in the wall time of any zone."""

    start: Weekly | datetime
    end: Weekly | datetime

    def around(self, now: datetime, zone: ZoneInfo) -> Iterator[tuple[datetime, datetime]]:
        """Yield when it starts and ends in UTC, each time that may contain `now`."""
        if isinstance(self.start, datetime) and isinstance(self.end, datetime):
            yield min(_instants(self.start, zone)), max(_instants(self.end, zone))
        elif isinstance(self.start, Weekly) and isinstance(self.end, Weekly):
            today = now.astimezone(zone).date()
            monday = datetime.combine(today - timedelta(days=today.weekday()), time())
            for week in (monday - _WEEK, monday, monday + _WEEK):
                start, end = _in_week(self.start, week), _in_week(self.end, week)
                end += _WEEK if end <= start else timedelta()
                yield min(_instants(start, zone)), max(_instants(end, zone))


def _in_week(at: Weekly, monday: datetime) -> datetime:
    return datetime.combine(monday.date() + timedelta(days=at.day), at.clock)


def _instants(wall: datetime, zone: ZoneInfo) -> list[datetime]:
    """Return a wall time in UTC: two where the clock skips it or shows it twice."""
    return [wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]


def until(windows: Iterable[tuple[Window, ZoneInfo]], now: datetime) -> datetime | None:
    """Return when the windows that contain `now`, and those they lead into, end; None if none."""
    known, then = list(windows), now
    for _ in range(MOST_STEPS):
        ends = [
            end
            for window, zone in known
            for start, end in window.around(then, zone)
            if start <= then < end
        ]
        if not ends:
            break
        then = max(ends)
    return then if then > now else None


# --- parsing -----------------------------------------------------------------------------------


def window(value: object) -> Window:
    start, dots, end = value.partition("..") if isinstance(value, str) else ("", "", "")
    for read in (_weekly, _dated):
        found = [read(each.strip()) for each in (start, end)]
        if dots and found[0] and found[1]:
            return _checked(found[0], found[1], value)
    raise InvalidValueError(f"a start and an end, such as {_EXAMPLES}", value)


def _checked(start: Weekly | datetime, end: Weekly | datetime, value: object) -> Window:
    if start == end:
        raise InvalidValueError("an end that differs from the start", value)
    if isinstance(start, datetime) and isinstance(end, datetime) and end < start:
        raise InvalidValueError("an end after the start", value)
    return Window(start, end)


def _weekly(text: str) -> Weekly | None:
    found = _WEEKLY.fullmatch(text)
    return Weekly(DAYS.index(found[1]), time(int(found[2]), int(found[3]))) if found else None


def _dated(text: str) -> datetime | None:
    if not _DATED.fullmatch(text):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:  # 2026-02-30
        return None
    return found if found.year in YEARS else None


def zone(value: object) -> ZoneInfo:
    """A time zone by its name in the IANA database."""
    if isinstance(value, ZoneInfo):
        return value
    try:
        if isinstance(value, str) and value.strip():
            return ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    expected = "a time zone that this machine knows, such as Europe/Berlin or UTC"
    raise InvalidValueError(expected, value)

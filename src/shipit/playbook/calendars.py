"""Check when a job runs: systemd's OnCalendar (systemd.time(7)), as far as possible here.

Pure. The host's own systemd decides. The error for a cron line has its translation.
"""

from __future__ import annotations

import re

from shipit.playbook.parsers import InvalidValueError, line

EXPECTED = 'when to run, as systemd has it: "*-*-* 03:00:00", "Mon..Fri 06:30", hourly'
SHORT = ("minutely", "hourly", "daily", "weekly", "monthly", "quarterly", "semiannually", "yearly")
_SHORT = {*SHORT, "annually", "anually", "biannually", "bi-annually", "semi-annually"}
_DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")  # cron's 0 to 7
_DAY = (
    r"(?:mon|tue(?:s|sday)?|wed(?:nesday)?|thu(?:r|rs|rsday)?|fri|sat(?:urday)?|sun"
    r"|(?:mon|fri|sun)day)"
)
_WEEKDAYS = re.compile(rf"{_DAY}(?:(?:\.\.|-|,){_DAY})*,?", re.IGNORECASE)
_PART = re.compile(r"\*|\d+(?:\.\d+)?(?:\.\.\d+(?:\.\d+)?)?(?:/\d+(?:\.\d+)?)?|\*/\d+(?:\.\d+)?")
_ZONE = re.compile(r"UTC|[A-Za-z]+(?:[/_+-][A-Za-z0-9_+-]+)*")
_SINGLE = re.compile(r"(?<![\d/])(\d)(?![\d/])")
_CRON_FIELD = re.compile(r"[\d*,/-]+|[A-Za-z]{3}(?:-[A-Za-z]{3})?")
_CRON_WORDS = {
    "@hourly": "hourly",
    "@daily": "daily",
    "@midnight": "daily",
    "@weekly": "weekly",
    "@monthly": "monthly",
    "@yearly": "yearly",
    "@annually": "yearly",
}
_RANGES = {"month": (1, 12), "day": (1, 31), "hour": (0, 23), "minute": (0, 59), "second": (0, 59)}


def calendar(value: object) -> str:
    """When a job runs.

    Raises:
        InvalidValueError: with the translation, if it is a cron line.
    """
    text = line(value)
    if text.lower() in _CRON_WORDS:
        raise InvalidValueError(
            f"systemd's word for this cron word: {_CRON_WORDS[text.lower()]}", value
        )
    fields = text.split()
    if len(fields) == 5 and all(map(_CRON_FIELD.fullmatch, fields)):  # noqa: PLR2004 - of cron
        raise InvalidValueError(_instead_of_cron(fields), value)
    if not _is_calendar(text):
        raise InvalidValueError(EXPECTED, value)
    return text


# --- systemd's syntax --------------------------------------------------------------------------


def _is_calendar(text: str) -> bool:
    if text.lower() in _SHORT or re.fullmatch(r"@\d+(\.\d+)?", text):
        return True
    words = text.split()
    last = words[-1]
    is_other = _WEEKDAYS.fullmatch(last) or last.lower() in _SHORT
    if len(words) > 1 and _ZONE.fullmatch(last) and not is_other:
        words.pop()
        if len(words) == 1 and words[0].lower() in _SHORT:
            return True
    if words and _WEEKDAYS.fullmatch(words[0]):
        words.pop(0)
        if not words:
            return True
    return bool(words) and _is_moment(words)


def _is_moment(words: list[str]) -> bool:
    """Whether words are a date, a time, or a date and a time."""
    if len(words) == 1 and "T" in words[0]:
        words = words[0].split("T", 1)
    match words:
        case [date, time]:
            return _is_date(date) and _is_time(time)
        case [one]:
            return _is_time(one) if ":" in one else _is_date(one)
        case _:
            return False


def _is_date(text: str) -> bool:
    """[YEAR-]MONTH-DAY; with ~ the day counts from the month's end."""
    found = re.fullmatch(r"(?:([^-~]+)-)?([^-~]+)[-~]([^-~]+)", text)
    if not found:
        return False
    year, month, day = found.groups()
    return _are_parts(year or "*") and _are_parts(month, "month") and _are_parts(day, "day")


def _is_time(text: str) -> bool:
    """HOUR:MINUTE[:SECOND]."""
    names = ("hour", "minute", "second")
    parts = text.split(":")
    return len(parts) in (2, 3) and all(map(_are_parts, parts, names))


def _are_parts(text: str, name: str = "") -> bool:
    """Whether a component is a list of numbers, ranges and repetitions within its limits."""
    least, most = _RANGES.get(name, (0, 99999))
    for part in text.split(","):
        if not _PART.fullmatch(part):
            return False
        numbers = [float(n) for n in re.findall(r"\d+(?:\.\d+)?", part.partition("/")[0])]
        if any(not least <= number < most + 1 for number in numbers):
            return False
    return True


# --- cron --------------------------------------------------------------------------------------


def _instead_of_cron(fields: list[str]) -> str:
    minute, hour, day, month, weekday = fields
    if day != "*" and weekday != "*":  # cron runs on either, systemd where both hold
        return "systemd's OnCalendar instead of a cron line (a day of the month or of the week)"
    named = re.sub(r"\b[0-7]\b", lambda found: _DAYS[int(found[0])], weekday)
    days = "" if weekday == "*" else named.replace("-", "..") + " "
    date = f"*-{_to_systemd(month, 1)}-{_to_systemd(day, 1)}"
    time = _SINGLE.sub(r"0\1", f"{_to_systemd(hour, 0)}:{_to_systemd(minute, 0)}")
    expression = f"{days}{date} {time}:00"
    if not _is_calendar(expression):
        return "systemd's OnCalendar instead of a cron line"
    return f'systemd\'s OnCalendar instead of a cron line: "{expression}"'


def _to_systemd(field: str, first: int) -> str:
    """Translate a cron field to systemd's syntax: 1-5 is 1..5, */5 is 0/5."""
    found = field.replace("-", "..")
    return re.sub(r"\*/", f"{first}/", found)

"""Shorten a unit's log for display: fold repeated entries, cut long lines. Pure.

The last of several equal entries stays, so that the end of the log is as it was. Entries are equal
if they differ in digits only: access-log lines of our own probes, the restarts of a crash loop.
"""

import re
from collections import Counter
from typing import Iterator, List

LONGEST = 400  # characters of a line
EXCEPTION_LENGTH = 200  # characters of an exception in a headline
# 2026-11-29T15:30:52+0000 host name[pid]: the format short-iso of journalctl
PREFIX = re.compile(r"\d{4}-\d\d-\d\dT(\d\d:\d\d:\d\d)\S* \S+ (\S+?)(?:\[\d+\])?: ")
SYSTEMD = "systemd"
MARGIN = " " * len("15:30:52 ")
TIME = re.compile(r"\d\d:\d\d:\d\d ")
EXCEPTION = re.compile(r"(?:[a-zA-Z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Exit|Warning)(?::.*)?")


def folded(log: str) -> List[str]:
    """Return the lines of a log with short times, and repeated entries once."""
    entries = list(_entries(log))
    times = Counter(map(_likeness, entries))
    latest = {_likeness(entry): number for number, entry in enumerate(entries)}
    kept = [
        (entries[number], times[_likeness(entries[number])] - 1)
        for number in sorted(latest.values())
    ]
    lines: List[str] = []
    for index, (entry, more) in enumerate(kept):
        lines += map(_cut, entry)
        is_last = index + 1 == len(kept) or kept[index + 1][1] != more
        if more and is_last:
            lines.append(f"{MARGIN}({more} more like this)")
    return lines


def _entries(log: str) -> Iterator[List[str]]:
    """Yield entries as lists of lines; indented lines, as of a traceback, continue an entry."""
    entry: List[str] = []
    pad = 0
    for line in log.splitlines():
        found = PREFIX.match(line)
        pad = found.end() if found else pad
        message = line[pad:] if found or line.startswith(" " * pad) else line
        if entry and (message[:1].isspace() or not message):
            entry.append(f"{MARGIN}{message}".rstrip())
            continue
        if entry:
            yield entry
        time = f"{found[1]} " if found else MARGIN if pad else ""
        source = f"{SYSTEMD}: " if found and found[2] == SYSTEMD else ""
        entry = [f"{time}{source}{message}"]
    if entry:
        yield entry


def _likeness(entry: List[str]) -> str:
    return re.sub(r"0x[0-9a-fA-F]+|\d+", "0", "\n".join(entry))


def _cut(line: str) -> str:
    left = len(line) - LONGEST
    return line if left <= 0 else f"{line[:LONGEST]} [... {left} more characters]"


def exception(log: str) -> str:
    """Return the line of the last exception in a folded log, "" if there is none."""
    messages = [TIME.sub("", line, count=1).strip(" |+") for line in log.splitlines()]
    found = [line for line in messages if EXCEPTION.fullmatch(line)]
    return (found or [""])[-1][:EXCEPTION_LENGTH]

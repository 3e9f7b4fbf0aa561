"""Show the line that a mistake is about, with a caret under the column.

The caret is under its character, also after tabs and wide characters; a frame is never wider than
the given width; and no character of the line acts on the terminal.

A frame is an extra: there is none for a file that is missing, changed since the command began, not
plain text, or too large. The module quoting decides how much of a line may be shown.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from functools import cache, partial
from typing import TYPE_CHECKING

from shipit.output.printable import one_line
from shipit.output.quoting import quotable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shipit.errors import Mistake
    from shipit.output.redaction import Hide

LARGEST = 1024 * 1024  # bytes; larger files are not read again
WIDEST = 120  # columns
TAB = "    "
_CUT = "…"


class Sources:
    """The files that mistakes are about, each read once, as they were when the command began."""

    def __init__(self, began: float) -> None:  # in seconds since the epoch
        self._text = cache(partial(_read, began))

    def frame(self, mistake: Mistake, width: int, hide: Hide) -> list[str]:
        """Return the lines of a mistake's frame, or none where there is nothing to show."""
        place = mistake.place
        if place is None or not place.line:
            return []
        text = self._text(place.file)
        line = "".join(text.split("\n")[place.line - 1 : place.line])
        shown = quotable(text, place, mistake.code)
        is_whole = shown == line.rstrip()
        is_there = place.column <= len(line) + 1 if is_whole else 0 < place.column <= len(shown)
        if not shown or not is_there or hide(line) != line:
            return []
        return drawn(shown if is_whole else f"{shown} {_CUT}", place.line, place.column, width)


def drawn(text: str, number: int, column: int, width: int = WIDEST) -> list[str]:
    """Return a line of a file with a caret under its column; column 0 is unknown: no caret."""
    margin = " " * len(str(number))
    room = min(width, WIDEST) - len(f"{number} | ")
    before, after = _window(text, max(column - 1, 0), room)
    frame = [f"{margin} |", f"{number} | {before}{after}".rstrip()]
    return [*frame, f"{margin} | {' ' * _width(before)}^"] if column else frame


def _window(text: str, at: int, room: int) -> tuple[str, str]:
    """Return the text before and after a position, as much of both as fits."""
    before = [_cell(char) for char in text[max(0, at - room - 1) : at]]
    after = [_cell(char) for char in text[at : at + room + 1]]
    head = _fitting(before[::-1], max(room // 2, room - _width("".join(after))))[::-1]
    tail = _fitting(after, room - _width("".join(head)))
    return "".join(head), "".join(tail)


def _fitting(cells: Sequence[str], room: int) -> list[str]:
    """Return the first cells that fit, with an ellipsis for the others."""
    if _width("".join(cells)) <= room:
        return list(cells)
    kept, used = list[str](), len(_CUT)
    for cell in cells:
        used += _width(cell)
        if used > room:
            break
        kept.append(cell)
    return [*kept, _CUT]


def _cell(char: str) -> str:
    return TAB if char == "\t" else one_line(char)


def _width(shown: str) -> int:
    return sum(map(_columns, shown))


def _columns(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me"):  # drawn over the one before it
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _read(began: float, file: str) -> str:
    r"""Return a file's text, with \n line ends; "" if it cannot be shown."""
    try:  # O_NONBLOCK: do not wait for a named pipe
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_mtime > began:
                return ""
            raw = stream.read(LARGEST + 1)
        text = raw.decode("utf-8-sig").replace("\r\n", "\n")
    except (OSError, ValueError):  # missing, unreadable, or not text
        return ""
    # Other line separators would shift the line numbers.
    is_plain = text.splitlines() == text.removesuffix("\n").split("\n")
    return text if is_plain and len(raw) <= LARGEST else ""

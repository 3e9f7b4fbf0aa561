"""The two parts of a report: lines and grids. Plain data, printed by the console.

A report reads the same without a terminal: `plain` is what a pipe or a log gets. A `safe` part is
printed as it is: a line stays one line, and a cell stays in its column. An answer may also have
diagnostics, which the console turns into lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shipit.output.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from shipit.errors import Mistake


@dataclass(frozen=True)
class Line:
    """A line of text; the style is good, bad, warn, quiet, strong (the console's), or none."""

    text: str
    style: str = ""


@dataclass(frozen=True)
class Grid:
    """A table: each row has a cell per heading; `styles` has one style per row, or is empty."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    styles: Sequence[str] = ()


@dataclass(frozen=True)
class Diagnostic:
    """A mistake in a file, shown with its source line on a terminal."""

    mistake: Mistake
    label: str = "error"
    style: str = "bad"


Part = Line | Grid


def lines(text: str, style: str = "") -> list[Line]:
    """Split a text of several lines into Lines of one style."""
    return [Line(each, style) for each in text.rstrip("\n").split("\n")]


def safe(part: Part) -> Part:
    """Return a part in which no character acts on the terminal; control characters are shown."""
    if isinstance(part, Line):
        return Line(one_line(part.text.expandtabs()), part.style)
    headings, *rows = ([*map(one_line, row)] for row in (part.headings, *part.rows))
    return Grid(headings, rows, part.styles)


def plain(parts: Iterable[Part]) -> Iterator[str]:
    """Yield the lines of a report as text without colours; columns are two spaces apart."""
    for part in parts:
        if isinstance(part, Line):
            yield part.text
            continue
        table = [part.headings, *part.rows]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for row in table:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            yield "  ".join(cells).rstrip()

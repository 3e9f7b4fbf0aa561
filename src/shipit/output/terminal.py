"""Show a run on a terminal: colours, and a live table. The owner of rich, which nothing else loads.

Colours never appear where NO_COLOR is set.
"""

from __future__ import annotations

import threading
import time
from itertools import zip_longest
from typing import TYPE_CHECKING, TextIO, cast

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from shipit.events import (
    CanaryChecked,
    CanaryEnded,
    CanaryHeld,
    Event,
    Fetching,
    HookOutput,
    HostFailed,
    Noted,
    RunBegan,
    RunEnded,
)
from shipit.output import messages
from shipit.output.layout import Line, Part, lines, safe
from shipit.output.lines import TIMINGS, Lines, Printer
from shipit.output.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shipit.output.progress import Row
    from shipit.output.stream import OutputStream

SPARE_LINES = 6  # of the terminal, kept for the title, the counts and the prompt
REFRESHES = 8  # per second
WIDEST = 100  # columns of the live table: times stay near their steps on a wide screen
TIME_WIDTH = 6

_THEME = Theme(
    {"good": "green", "bad": "red", "warn": "yellow", "quiet": "dim", "strong": "bold"},
    inherit=True,
)


class Terminal(Printer):
    """Prints lines and grids with colours."""

    is_terminal = True

    def __init__(self, stream: OutputStream) -> None:
        super().__init__(stream)
        file = cast("TextIO", stream)
        self.console = Console(file=file, theme=_THEME, highlight=False, markup=False, emoji=False)

    @property
    def width(self) -> int:  # type: ignore[override] # it changes with the window
        return self.console.width

    def show(self, parts: Sequence[Part]) -> None:
        """Print a report; the terminal wraps long lines, so that they can be copied whole."""
        for part in map(safe, parts):
            self.console.print(_drawn(part), soft_wrap=isinstance(part, Line))

    def run(self, verbosity: int) -> Lines:
        return LiveTable(self, verbosity=verbosity)


class LiveTable(Lines):
    """A table of hosts that is redrawn during a run; problems and notes scroll by above it.

    A download has a line below it, or of its own where no run has begun.
    """

    def __init__(self, terminal: Terminal, *, verbosity: int) -> None:
        super().__init__(terminal, verbosity=verbosity)
        self._terminal = terminal
        # Guards the progress alone: rich calls _draw with its own lock held, so printing while
        # holding this one would deadlock.
        self._lock = threading.Lock()
        self._live: Live | None = None
        self._is_run = False
        self._fetching: tuple[Fetching, float] | None = None  # and when it began

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._progress.take(event, time.monotonic())
        if isinstance(event, Fetching):
            self._fetch(event)
            return
        if isinstance(event, RunBegan):
            self._is_run = True
            self._start()
            return
        if isinstance(event, RunEnded):
            self._is_run = False
            self.close()
        # rich moves the cursor by what it drew last, and looks that up before it prints: two
        # threads that print at once would write into each other's lines.
        with self._print_lock:
            self._show(event)

    def close(self) -> None:
        """Remove the table from the screen; the lines above it stay."""
        if self._live:
            self._live.stop()
            self._live = None

    def _fetch(self, event: Fetching) -> None:
        with self._lock:
            is_same = self._fetching and self._fetching[0].what == event.what
            began = self._fetching[1] if self._fetching and is_same else time.monotonic()
            self._fetching = None if event.is_over else (event, began)
        if event.is_over and not self._is_run:
            self.close()
        elif not event.is_over and self._live is None:
            self._start()

    def _start(self) -> None:
        self.close()
        self._live = Live(
            console=self._terminal.console,
            get_renderable=self._draw,
            refresh_per_second=REFRESHES,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start(refresh=True)  # the next lines are printed above it

    def _parts(self, event: Event) -> Sequence[Part]:
        if isinstance(event, (RunEnded, HostFailed)):
            return super()._parts(event)
        if isinstance(event, (Noted, HookOutput, CanaryHeld, CanaryChecked, CanaryEnded)):
            return lines(messages.line(event))
        if self._verbosity and isinstance(event, TIMINGS):
            return lines(messages.line(event), "quiet")
        return []

    def _draw(self) -> RenderableType:
        with self._lock:
            found, now = self._fetching, time.monotonic()
            below = messages.fetching(found[0], now - found[1]) if found else ""
        fetching = Text(one_line(below), overflow="ellipsis", no_wrap=True)
        if not self._is_run:
            return fetching
        return Group(self._table(now), fetching) if below else self._table(now)

    def _table(self, now: float) -> RenderableType:
        with self._lock:
            view = self._progress.view(max(3, self._terminal.console.height - SPARE_LINES))
            title = f"{view.title}  {messages.seconds(now - self._progress.began)}"
        width = min(self._terminal.console.width, WIDEST)
        table = Table.grid(padding=(0, 2, 0, 0), expand=True)
        table.width = width
        names = max((len(row.host) for row in view.rows), default=0)
        table.add_column(no_wrap=True, overflow="ellipsis", width=min(names, width * 2 // 5))
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        table.add_column(no_wrap=True, justify="right", width=TIME_WIDTH)
        for row in view.rows:
            doing, took, style = _doing(row, now)
            cells = (Text(one_line(row.host)), Text(one_line(doing)), Text(took))
            table.add_row(*cells, style="bad" if row.state == "failed" else style)
        rest = [Text(view.rest, style="quiet", overflow="ellipsis", no_wrap=True)]
        head = Text(title, style="strong", overflow="ellipsis", no_wrap=True)
        return Group(head, table, *(rest if view.rest else []))


def _doing(row: Row, now: float) -> tuple[str, str, str]:
    """Return what a host does or how it ended, since when or how long, and the style of both."""
    if row.outcome:
        ended = "  ".join(filter(None, (row.outcome.value, row.release)))
        return ended, messages.seconds(row.seconds), "good"
    if row.step:
        sent = f"{messages.size(row.done)} of {messages.size(row.total)}" if row.total else ""
        step = "  ".join(filter(None, (row.step, row.detail, sent)))
        return step, messages.seconds(now - row.since), ""
    return "waiting", "", "quiet"


def _drawn(part: Part) -> RenderableType:
    if isinstance(part, Line):
        return Text(part.text, style=part.style)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="quiet")
    for heading in part.headings:
        table.add_column(Text(heading), overflow="fold")
    for row, style in zip_longest(part.rows, part.styles, fillvalue=""):
        table.add_row(*map(Text, row), style=style)
    return table

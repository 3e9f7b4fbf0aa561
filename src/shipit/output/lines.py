"""Print a run as plain lines, one per event; for pipes, logs and CI."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from shipit.events import (
    Event,
    Fetching,
    HostFailed,
    Probed,
    RunEnded,
    Sent,
    StepBegan,
    StepEnded,
)
from shipit.output import messages
from shipit.output.ending import ending
from shipit.output.layout import Line, Part, lines, plain, safe
from shipit.output.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shipit.events import Problem
    from shipit.output.stream import OutputStream

WHOLE_EVIDENCE = 3  # hosts whose evidence is shown; the rest mostly fail for the same reason
STEPS_SHOWN = 10  # hosts of a run up to which each step is a plain line without -v
TIMINGS = (StepBegan, StepEnded, Probed)


class Printer:
    """Prints lines and grids as plain text of any width."""

    is_terminal = False
    width = 0  # in columns; nothing depends on it without a terminal

    def __init__(self, stream: OutputStream) -> None:
        self.stream = stream

    def show(self, parts: Sequence[Part]) -> None:
        """Print a report. Everything that is shown passes through here, but for the live table."""
        self.stream.write("".join(f"{text}\n" for text in plain(map(safe, parts))))

    def run(self, verbosity: int) -> Lines:
        """Return what shows the events of a run."""
        return Lines(self, verbosity=verbosity)


class Lines:
    """Plain lines, one per event."""

    def __init__(self, printer: Printer, *, verbosity: int) -> None:
        self._printer, self._verbosity = printer, verbosity
        self._progress, self._failures = Progress(), 0
        self._print_lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        with self._print_lock:  # lines are printed in the order of their events
            self._progress.take(event, time.monotonic())
            self._show(event)

    def close(self) -> None:
        """Do nothing: lines stay."""

    def _show(self, event: Event) -> None:
        if parts := self._parts(event):
            self._printer.show(parts)

    def _parts(self, event: Event) -> Sequence[Part]:
        if isinstance(event, RunEnded):
            return ending(event, self._progress.rows)
        if isinstance(event, HostFailed):
            return self._failure(event.problem)
        if not self._is_shown(event):
            return []
        width = max(map(len, self._progress.rows), default=0)
        return lines(messages.line(event, width))

    def _is_shown(self, event: Event) -> bool:
        if isinstance(event, Fetching):  # a note follows
            return False
        if isinstance(event, Sent):
            return bool(self._verbosity) and event.done >= event.total
        if isinstance(event, StepEnded):
            return bool(self._verbosity) or len(self._progress.rows) <= STEPS_SHOWN or not event.ok
        return bool(self._verbosity) or not isinstance(event, TIMINGS)

    def _failure(self, failed: Problem) -> list[Line]:
        """Return the lines of a problem: the evidence of the first few, or with -v of all."""
        self._failures += 1
        shown = problem_lines(failed, whole=bool(self._verbosity))
        return shown if self._verbosity or self._failures <= WHOLE_EVIDENCE else shown[:1]


def problem_lines(failed: Problem, *, whole: bool = False) -> list[Line]:
    first, *rest = messages.problem(failed, whole=whole)
    return [Line(first, "bad"), *map(Line, rest)]

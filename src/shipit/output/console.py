"""Show a run to an operator: a live table on a terminal, plain lines elsewhere. The owner of rich.

Both show the same: every failure with its evidence, the table at the end, a one-sentence summary
and what to do next. Colours appear only on a terminal, and never where NO_COLOR is set. All methods
are thread-safe. The texts come from other modules (messages, reports, progress).
"""

from __future__ import annotations

import os
import threading
import time
from itertools import zip_longest
from typing import TYPE_CHECKING, TextIO, cast

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from shipit.errors import HostError, InputError, ShipitError
from shipit.events import (
    Event,
    HostFailed,
    Noted,
    PlaybookEnded,
    Probed,
    RunBegan,
    RunEnded,
    SecretsKnown,
    Sent,
    StepBegan,
    StepEnded,
)
from shipit.output import messages, reports
from shipit.output.frames import Sources
from shipit.output.layout import Diagnostic, Line, Part, lines, plain, safe
from shipit.output.printable import one_line
from shipit.output.progress import Progress
from shipit.output.redaction import redacted
from shipit.output.stream import OutputStream
from shipit.rollout.phase import problem_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shipit.events import Problem
    from shipit.output.progress import Row
    from shipit.output.redaction import Redactor

WHOLE_EVIDENCE = 3  # hosts whose evidence is shown; the rest mostly fail for the same reason
STEPS_SHOWN = 10  # hosts of a run up to which each step is a plain line without -v
SPARE_LINES = 6  # of the terminal, kept for the title, the counts and the prompt
REFRESHES = 8  # per second
WIDEST = 100  # columns of the live table: times stay near their steps on a wide screen
TIME_WIDTH = 6

_THEME = Theme(
    {"good": "green", "bad": "red", "warn": "yellow", "quiet": "dim", "strong": "bold"},
    inherit=True,
)
_TIMINGS = (StepBegan, StepEnded, Probed)


class Printer:
    """Prints lines and grids: with colours on a terminal, else as plain text of any width."""

    def __init__(self, stream: OutputStream) -> None:
        self.stream = stream
        self.is_terminal = stream.isatty() and os.environ.get("TERM") not in (None, "dumb")
        file = cast("TextIO", stream)
        self.console = Console(file=file, theme=_THEME, highlight=False, markup=False, emoji=False)

    def show(self, parts: Sequence[Part]) -> None:
        """Print a report; the terminal wraps long lines, so that they can be copied whole.

        Everything that is shown passes through here, except the rows of the live table.
        """
        parts = [safe(part) for part in parts]
        if not self.is_terminal:
            self.stream.write("".join(f"{text}\n" for text in plain(parts)))
            return
        for part in parts:
            self.console.print(_drawn(part), soft_wrap=isinstance(part, Line))


class Lines:
    """Plain lines, one per event; for pipes, logs and CI."""

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
            return reports.ending(event, self._progress.rows)
        if isinstance(event, HostFailed):
            return self._failure(event.problem)
        if not self._is_shown(event):
            return []
        width = max(map(len, self._progress.rows), default=0)
        return lines(messages.line(event, width))

    def _is_shown(self, event: Event) -> bool:
        if isinstance(event, Sent):
            return bool(self._verbosity) and event.done >= event.total
        if isinstance(event, StepEnded):
            return bool(self._verbosity) or len(self._progress.rows) <= STEPS_SHOWN or not event.ok
        return bool(self._verbosity) or not isinstance(event, _TIMINGS)

    def _failure(self, failed: Problem) -> list[Line]:
        """Return the lines of a problem: the evidence of the first few, or with -v of all."""
        self._failures += 1
        shown = _problem_lines(failed, whole=bool(self._verbosity))
        return shown if self._verbosity or self._failures <= WHOLE_EVIDENCE else shown[:1]


class LiveTable(Lines):
    """A table of hosts that is redrawn during a run; problems and notes scroll by above it."""

    def __init__(self, printer: Printer, *, verbosity: int) -> None:
        super().__init__(printer, verbosity=verbosity)
        # Guards the progress alone: rich calls _draw with its own lock held, so printing while
        # holding this one would deadlock.
        self._lock = threading.Lock()
        self._live: Live | None = None

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._progress.take(event, time.monotonic())
        if isinstance(event, RunBegan):
            self._start()
            return
        if isinstance(event, RunEnded):
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

    def _start(self) -> None:
        self.close()
        self._live = Live(
            console=self._printer.console,
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
        if isinstance(event, Noted):
            return lines(messages.line(event))
        if self._verbosity and isinstance(event, _TIMINGS):
            return lines(messages.line(event), "quiet")
        return []

    def _draw(self) -> RenderableType:
        now = time.monotonic()
        with self._lock:
            view = self._progress.view(max(3, self._printer.console.height - SPARE_LINES))
            title = f"{view.title}  {messages.seconds(now - self._progress.began)}"
        width = min(self._printer.console.width, WIDEST)
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


def _problem_lines(failed: Problem, *, whole: bool = False) -> list[Line]:
    first, *rest = messages.problem(failed, whole=whole)
    return [Line(first, "bad"), *map(Line, rest)]


class ConsoleOutput:
    """The output for operators: runs and answers on `out`, errors on `err`."""

    def __init__(self, out: TextIO, err: TextIO, *, verbosity: int, redactor: Redactor) -> None:
        self._redactor, self._verbosity = redactor, verbosity
        self._out, self._err = (Printer(OutputStream(to, redactor)) for to in (out, err))
        kind = LiveTable if self._out.is_terminal else Lines
        self._run = kind(self._out, verbosity=verbosity)
        self._aside = Lines(self._err, verbosity=verbosity)
        self._sources = Sources(time.time())
        self._is_run = False
        self._last: PlaybookEnded | None = None

    def __call__(self, event: Event) -> None:
        """Show an event of a run."""
        if isinstance(event, SecretsKnown):
            self._redactor.learn(event.hide)
            return
        self._is_run = self._is_run or isinstance(event, RunBegan)
        self._print_ending()
        if isinstance(event, PlaybookEnded):
            self._last = event
            return
        self._run(redacted(event, self._redactor))

    def quiet(self, event: Event) -> None:
        """Show only those events of a query that its answer lacks: notes, and timings with -v."""
        if isinstance(event, SecretsKnown):
            self._redactor.learn(event.hide)
        elif isinstance(event, Noted) or (self._verbosity and isinstance(event, _TIMINGS)):
            self._aside(redacted(event, self._redactor))

    def aside(self, event: Event) -> None:
        """Show failures on `err` while lines of a log are printed."""
        if isinstance(event, HostFailed):
            self._aside(redacted(event, self._redactor))
        else:
            self.quiet(event)

    def answer(
        self, _what: str, _status: int, parts: Sequence[Part | Diagnostic], /, **_data: object
    ) -> None:
        """Print the answer to a query."""
        shown: list[Part] = []
        for part in parts:
            match part:
                case Diagnostic():
                    shown += self._diagnostic(part, self._out)
                case _:
                    shown.append(part)
        self._out.show(redacted(shown, self._redactor))

    def log(self, host: str, text: str) -> None:
        """Print lines of a host's journal, each prefixed with the host."""
        prefix = f"{host}  " if host else ""
        log_lines = self._redactor(text).rstrip("\n").split("\n")
        shown = (one_line(line.rstrip("\r").expandtabs()) for line in log_lines)
        self._out.stream.write("".join(f"{prefix}{line}\n" for line in shown))

    def error(self, error: ShipitError) -> None:
        """Print what is wrong, where, and how to fix it."""
        self.close()
        if isinstance(error, InputError):
            found = [
                line
                for mistake in error.mistakes
                for line in self._diagnostic(Diagnostic(mistake), self._err)
            ]
            done = self._last and any(end.exit_status == 0 for end in self._last.deployments)
            count = messages.count(len(error.mistakes), "mistake")
            summary = f"{count}; nothing{' more' if done else ''} was changed"
            self._err.show([*found, Line(summary, "strong")])
        elif isinstance(error, HostError):
            failed = problem_of(error, error.host)
            self._err.show(_problem_lines(redacted(failed, self._redactor)))
        else:
            self._err.show(lines(self._redactor(f"error: {error}"), "bad"))

    def _diagnostic(self, shown: Diagnostic, to: Printer) -> list[Line]:
        """Return a mistake as compilers show it: what, where, the source line, how to fix it.

        Where there is no terminal, it is one line that tools can parse.
        """
        hide, mistake = self._redactor, shown.mistake
        if not to.is_terminal:
            return lines(hide(f"{shown.label}: {mistake}"), shown.style)
        what = lines(hide(f"{shown.label}[{mistake.code}]: {mistake.summary}"), shown.style)
        where = lines(hide(f"  --> {mistake.place}")) if mistake.place else []
        source = map(Line, self._sources.frame(mistake, to.console.width, hide))
        hint = lines(hide(f"  help: {mistake.hint}")) if mistake.hint else []
        return [*what, *where, *source, *hint]

    def bug(self, error: BaseException, trace: str) -> None:
        """Print a bug in shipit, with everything that a bug report needs."""
        self.close()
        what = f"this is a bug in shipit, not a mistake of yours: {error!r}"
        ask = "please report it where you got shipit, with the lines above and the command you ran"
        # Redact before splitting into lines: a secret may span several.
        trace_lines, what_lines = lines(self._redactor(trace)), lines(self._redactor(what), "bad")
        self._err.show([*trace_lines, *what_lines, Line(ask, "strong")])

    def interrupt(self) -> None:
        """Report a Ctrl-C that no run has reported itself."""
        self.close()
        self._err.show([Line(messages.interrupted(is_run=self._is_run), "warn")])

    def conclude(self, status: int) -> None:
        """Restore the screen and print what is left to print."""
        del status  # the run's last event has shown it
        self.close()
        self._print_ending()

    def _print_ending(self) -> None:
        """Print how all deployments ended, after any error that stopped them."""
        if self._last:
            text = self._redactor(messages.playbook_verdict(self._last))
            self._out.show([Line(text, "bad" if self._last.exit_status else "good")])
            self._last = None

    def close(self) -> None:
        self._run.close()

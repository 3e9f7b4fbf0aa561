"""Show a run to an operator: a live table on a terminal, plain lines elsewhere.

Both show the same: every failure with its evidence, the table at the end, a one-sentence summary
and what to do next. All methods are thread-safe. The texts come from other modules (messages,
ending, progress).
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, TextIO

from shipit.errors import HostError, InputError, NotNowError, ShipitError
from shipit.events import (
    Event,
    Fetching,
    HostFailed,
    Noted,
    PlaybookEnded,
    RunBegan,
    SecretsKnown,
)
from shipit.output import messages
from shipit.output.frames import Sources
from shipit.output.layout import Diagnostic, Line, Part, lines
from shipit.output.lines import TIMINGS, Printer, problem_lines
from shipit.output.printable import one_line
from shipit.output.redaction import redacted
from shipit.output.stream import OutputStream
from shipit.rollout.phase import problem_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shipit.output.redaction import Redactor


def _printer(stream: OutputStream) -> Printer:
    if not stream.isatty() or os.environ.get("TERM") in (None, "dumb"):
        return Printer(stream)
    from shipit.output.terminal import Terminal  # noqa: PLC0415 - rich takes a while to load

    return Terminal(stream)


class ConsoleOutput:
    """The output for operators: runs and answers on `out`, errors on `err`."""

    def __init__(self, out: TextIO, err: TextIO, *, verbosity: int, redactor: Redactor) -> None:
        self._redactor, self._verbosity = redactor, verbosity
        self._out, self._err = (_printer(OutputStream(to, redactor)) for to in (out, err))
        self._run = self._out.run(verbosity)
        self._aside = self._err.run(verbosity)
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
        elif isinstance(event, (Noted, Fetching)) or (
            self._verbosity and isinstance(event, TIMINGS)
        ):
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
            head = "not now" if isinstance(error, NotNowError) else count
            summary = f"{head}; nothing{' more' if done else ''} was changed"
            self._err.show([*found, Line(summary, "strong")])
        elif isinstance(error, HostError):
            failed = problem_of(error, error.host)
            self._err.show(problem_lines(redacted(failed, self._redactor)))
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
        source = map(Line, self._sources.frame(mistake, to.width, hide))
        evidence = [Line(f"  | {text}") for text in hide(mistake.evidence).splitlines()]
        hint = lines(hide(f"  help: {mistake.hint}")) if mistake.hint else []
        return [*what, *where, *source, *evidence, *hint]

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
        self._aside.close()

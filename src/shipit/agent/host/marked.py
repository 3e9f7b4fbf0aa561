"""Read the output of a command whose own end is marked (`transient.Command.end_mark`).

Pass it on in whole lines while it runs, as secrets are masked line by line; find out how it ended.
"""

from dataclasses import replace
from typing import Any, Callable

from ..protocol.hooks import HookOutput
from ..system.process import Done

SHOWN = 64 * 1024  # bytes of the output that are passed on, and so of a line that is held


def ended(done: Done, mark: str) -> Done:
    """Return how the command itself ended, whatever systemd-run says: it may have lost the bus."""
    shown, found, end = done.output.rpartition(mark)
    if not found:
        return done if done.timed_out else replace(done, lost=True)
    status = (end.split() or [""])[0]
    if not status.isdigit():
        return replace(done, output=shown, lost=not done.timed_out)
    return replace(done, output=shown, status=int(status))


class Output:
    """Passes a hook's output on in whole lines while it runs; of very much, the beginning."""

    def __init__(self, emit: Callable[[Any], None], hook: str, end_mark: str) -> None:
        self._emit, self._hook, self._mark = emit, hook, end_mark.encode()
        self._open, self._total = b"", 0

    def __call__(self, chunk: bytes) -> None:
        shown = chunk[: max(0, SHOWN - self._total)]
        self._total += len(chunk)
        whole, newline, rest = (self._open + shown).rpartition(b"\n")
        self._open = rest
        if newline:
            self._pass_on(whole)

    def end(self) -> None:
        """Pass on what is left; not a line that the limit has cut, maybe in a secret."""
        left_out = max(0, self._total - SHOWN)
        if left_out:
            self._pass_on(b"[... %d more bytes are not shown]" % (left_out + len(self._open)))
        elif self._open:
            self._pass_on(self._open)

    def _pass_on(self, text: bytes) -> None:
        shown, mark, _ = text.partition(self._mark)
        if shown := shown.rstrip(b"\n") if mark else shown:
            self._emit(HookOutput(self._hook, shown.decode("utf-8", "replace")))

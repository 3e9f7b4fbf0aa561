"""Read the answer to a question from the terminal, without waiting for it."""

from __future__ import annotations

import os
import select
import sys
import termios
from contextlib import suppress
from typing import TextIO

LONGEST = 1024  # bytes of an answer


class Question:
    """A question that was asked on the terminal.

    What was typed before it began is no answer to it.
    """

    def __init__(self, stdin: TextIO | None = None) -> None:
        self._input = (sys.stdin if stdin is None else stdin).fileno()
        with suppress(termios.error, OSError):  # it has no terminal any more
            termios.tcflush(self._input, termios.TCIFLUSH)

    def answer(self) -> str | None:
        """Return what was typed; None if nothing was yet, or this runs in the background."""
        try:
            if os.tcgetpgrp(self._input) != os.getpgrp():
                return None
            if not select.select([self._input], [], [], 0)[0]:
                return None
            line = os.read(self._input, LONGEST)
        except OSError:
            return None
        return line.decode("utf-8", "replace").strip().lower() if line else None

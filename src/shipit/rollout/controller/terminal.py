"""Read the answer to a question from the terminal, without waiting for it."""

from __future__ import annotations

import os
import select
import sys
import termios
from contextlib import suppress
from typing import TextIO

ANSWERS = {"y": True, "yes": True, "n": False, "no": False}
LONGEST = 1024  # bytes of an answer


class YesOrNo:
    """A question with the answers y and n; everything else is left out.

    What was typed before it began is no answer to it.
    """

    def __init__(self, stdin: TextIO | None = None) -> None:
        self._input = (sys.stdin if stdin is None else stdin).fileno()
        with suppress(termios.error, OSError):  # it has no terminal any more
            termios.tcflush(self._input, termios.TCIFLUSH)

    def answer(self) -> bool | None:
        """Return the answer; None if there is none yet, or this runs in the background."""
        try:
            if os.tcgetpgrp(self._input) != os.getpgrp():
                return None
            if not select.select([self._input], [], [], 0)[0]:
                return None
            line = os.read(self._input, LONGEST).decode("utf-8", "replace")
        except OSError:
            return None
        return ANSWERS.get(line.strip().lower())

"""Pass on the events of a rehearsal, and keep what its report needs.

Secrets are redacted in the texts it returns.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from shipit.events import HostFailed, SecretsKnown, StepEnded
from shipit.output.redaction import Redactor
from shipit.rehearsal.scenario import Bar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from shipit.events import Emit, Event

EVIDENCE_LINES = 10  # of each problem: the end of a traceback


class Timeline:
    """An `emit` that records the current step; may be called from any thread."""

    def __init__(self, emit: Emit, clock: Callable[[], float] = time.monotonic) -> None:
        self._emit, self._clock = emit, clock
        self._redactor = Redactor()
        self.begin()

    def begin(self) -> None:
        """Begin the next step; drop what was recorded of the last one."""
        self._began = self._clock()
        self.bars: list[Bar] = []
        self.problems: list[str] = []  # why hosts failed, each with the end of its evidence

    def __call__(self, event: Event) -> None:
        match event:
            case SecretsKnown(hide):
                self._redactor.learn(hide)
            case StepEnded(host, step, seconds, ok):
                began = self.seconds - seconds
                self.bars.append(Bar(host, step, max(0.0, began), seconds, ok))
            case HostFailed(problem):
                evidence = problem.evidence.rstrip().splitlines()[-EVIDENCE_LINES:]
                why = f"{problem.host}: {problem.step or 'connect'}: {problem.what}"
                self.problems += [why, *(f"| {line}" for line in evidence)]
            case _:
                pass
        self._emit(event)

    @property
    def seconds(self) -> float:
        """The duration of the current step so far."""
        return self._clock() - self._began

    def masked(self, texts: Iterable[str]) -> tuple[str, ...]:
        return tuple(map(self._redactor, texts))

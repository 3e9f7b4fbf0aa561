"""Pass on the events of a rehearsal, and keep what its report needs.

Secrets are redacted in the texts it returns.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from shipit.events import HostFailed, SecretsKnown, StepEnded
from shipit.rehearsal.scenario import Bar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from shipit.events import Emit, Event, Problem

EVIDENCE_LINES = 10  # of each problem: the end of a traceback


class Timeline:
    """An `emit` that records the current step; may be called from any thread."""

    def __init__(self, emit: Emit, clock: Callable[[], float] = time.monotonic) -> None:
        self._emit, self._clock = emit, clock
        self._hides: list[Callable[[str], str]] = []
        self.begin()

    def begin(self) -> None:
        """Begin the next step; drop what was recorded of the last one."""
        self._began = self._clock()
        self._bars: list[Bar] = []
        self._problems: list[Problem] = []

    def __call__(self, event: Event) -> None:
        match event:
            case SecretsKnown(hide):
                self._hides.append(hide)
            case StepEnded(host, step, seconds, ok):
                began = self._clock() - self._began - seconds
                self._bars.append(Bar(host, step, max(0.0, began), seconds, ok))
            case HostFailed(problem):
                self._problems.append(problem)
            case _:
                pass
        self._emit(event)

    @property
    def seconds(self) -> float:
        """The duration of the current step so far."""
        return self._clock() - self._began

    @property
    def bars(self) -> tuple[Bar, ...]:
        return tuple(self._bars)

    @property
    def problems(self) -> tuple[str, ...]:
        """Why hosts failed in this step, each with the end of its evidence."""
        return tuple(line for each in self._problems for line in _lines(each))

    def masked(self, texts: Iterable[str]) -> tuple[str, ...]:
        return tuple(map(self._masked, texts))

    def _masked(self, text: str) -> str:
        for hide in self._hides:
            text = hide(text)
        return text


def _lines(problem: Problem) -> Iterator[str]:
    yield f"{problem.host}: {problem.step or 'connect'}: {problem.what}"
    yield from (f"| {line}" for line in problem.evidence.rstrip().splitlines()[-EVIDENCE_LINES:])

"""Hear what is told in a rehearsal, pass it on, and keep what the report needs of it.

Promises to hide in a kept text what no face may show.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from shipit.events import HostFailed, SecretsKnown, StepEnded
from shipit.rehearsal.scenario import Bar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from shipit.events import Emit, Event, Problem

EVIDENCE_LINES = 10  # of each problem: enough for a traceback's end, few enough for a report


class Timeline:
    """An `emit` that remembers the act which is played; may be fed from many threads."""

    def __init__(self, emit: Emit, clock: Callable[[], float] = time.monotonic) -> None:
        self._emit, self._clock = emit, clock
        self._hides: list[Callable[[str], str]] = []
        self.begin()

    def begin(self) -> None:
        """Let the next act begin: forget the last one."""
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
        """How long the act has been played."""
        return self._clock() - self._began

    @property
    def bars(self) -> tuple[Bar, ...]:
        return tuple(self._bars)

    @property
    def problems(self) -> tuple[str, ...]:
        """Why hosts failed in this act: each in a sentence, and the end of its evidence."""
        return tuple(line for each in self._problems for line in _told(each))

    def masked(self, texts: Iterable[str]) -> tuple[str, ...]:
        return tuple(map(self._masked, texts))

    def _masked(self, text: str) -> str:
        for hide in self._hides:
            text = hide(text)
        return text


def _told(problem: Problem) -> Iterator[str]:
    yield f"{problem.host}: {problem.step or 'connect'}: {problem.what}"
    yield from (f"| {line}" for line in problem.evidence.rstrip().splitlines()[-EVIDENCE_LINES:])

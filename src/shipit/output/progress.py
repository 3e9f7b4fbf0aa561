"""Track the state of each host during a run, and choose which hosts to show.

The view stays readable with hundreds of hosts: failed hosts first, then active ones, the others as
a count. It has no clock and no lock: callers pass times and synchronize threads. It prints nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from shipit.events import (
    BatchBegan,
    Event,
    HostEnded,
    HostFailed,
    Outcome,
    Problem,
    RunBegan,
    RunEnded,
    Sent,
    StepBegan,
    StepEnded,
)


@dataclass(frozen=True)
class Row:
    """The current state of a host in the run. Times are in seconds of the caller's clock."""

    host: str
    step: str = ""
    detail: str = ""
    since: float = 0.0  # when the step began
    done: int = 0  # bytes
    total: int = 0
    outcome: Outcome | None = None
    release: str = ""
    seconds: float = 0.0  # the whole host, once it has ended
    problem: Problem | None = None

    @property
    def is_failed(self) -> bool:
        return self.problem is not None or bool(self.outcome and not self.outcome.is_wanted)

    @property
    def is_active(self) -> bool:
        return self.outcome is None and bool(self.step)


@dataclass(frozen=True)
class View:
    """The rows that fit on the screen, and the other hosts as counts."""

    title: str
    rows: tuple[Row, ...]
    rest: str  # "12 more active, 287 deployed, 3 waiting"


class Progress:
    """The rows of one run; a new run clears them."""

    def __init__(self) -> None:
        self.what = self.app = self.batch = ""
        self.began = 0.0
        self.rows: dict[str, Row] = {}

    def take(self, event: Event, now: float) -> None:
        """Apply one event."""
        match event:
            case RunBegan(what, app, hosts):
                self.what, self.app, self.batch, self.began = what, app, "", now
                self.rows = {host: Row(host) for host in hosts}
            case BatchBegan(number, of, _):
                self.batch = f"batch {number}/{of}"
            case RunEnded():
                self._settle(event)
            case _:
                self._take_of_host(event, now)

    def view(self, height: int) -> View:
        """Return what to show on `height` lines, failed and active hosts first."""
        rows = self.rows.values()
        failed = [row for row in rows if row.is_failed]
        active = [row for row in rows if row.is_active and not row.is_failed]
        ended = [row for row in rows if row.outcome and not row.is_failed]
        waiting = [row for row in rows if not row.outcome and not row.step and not row.is_failed]
        # Where all rows fit, hosts keep their order: rows that jump cannot be read.
        shown = tuple(rows) if len(rows) <= height else tuple([*failed, *active][:height])
        seen = {row.host for row in shown}
        hidden = [row for row in (*failed, *active, *ended, *waiting) if row.host not in seen]
        parts = [self.what, self.app, f"{len(rows)} host" + "s" * (len(rows) != 1), self.batch]
        return View("  ".join(part for part in parts if part), shown, _counts(hidden))

    def _take_of_host(self, event: Event, now: float) -> None:
        match event:
            case StepBegan(host, step, detail):
                self._change(host, step=step, detail=detail, since=now, done=0, total=0)
            case StepEnded(host, step, _, ok):
                self._change(host, detail="" if ok else "failed", done=0, total=0)
            case Sent(host, done, total):
                self._change(host, done=done, total=total)
            case HostFailed(problem):
                self._change(problem.host, problem=problem)
            case HostEnded(host, outcome, release, seconds):
                self._change(host, outcome=outcome, release=release, seconds=seconds)
            case _:
                pass

    def _settle(self, ended: RunEnded) -> None:
        for host, result in ended.hosts.items():
            why = result.problem or self.rows.get(host, Row(host)).problem
            self._change(host, outcome=result.outcome, release=result.release, problem=why)

    def _change(self, host: str, **changes: object) -> None:
        row = self.rows.get(host, Row(host))
        self.rows[host] = replace(row, **changes)  # type: ignore[arg-type]


def _counts(rows: list[Row]) -> str:
    numbers: dict[str, int] = {}
    for row in rows:
        if row.outcome:
            word = row.outcome.value
        else:
            word = "failed" if row.problem else "active" if row.step else "waiting"
        numbers[word] = numbers.get(word, 0) + 1
    return ", ".join(f"{number} more {word}" for word, number in numbers.items())

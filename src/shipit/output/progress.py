"""Track the state of each host during a run, and choose which hosts to show.

The view stays readable with hundreds of hosts: failed hosts first, then active ones, the others as
a count. It has no clock and no lock: callers pass times and synchronize threads. It prints nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from shipit.events import (
    BatchBegan,
    CanaryHeld,
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
    def state(self) -> str:
        """One of STATES."""
        if self.problem or (self.outcome and not self.outcome.is_wanted):
            return "failed"
        if self.outcome:
            return "ended"
        return "active" if self.step else "waiting"


STATES = ("failed", "active", "ended", "waiting")  # in the order in which rows are shown


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

    def take(self, event: Event, now: float) -> None:  # noqa: C901 - one case for each event
        """Apply one event."""
        match event:
            case RunBegan(what, app, hosts):
                self.what, self.app, self.batch, self.began = what, app, "", now
                self.rows = {host: Row(host) for host in hosts}
            case BatchBegan(number, of, _, act):
                self.batch = f"{'roll back ' * (act == 'roll_back')}batch {number}/{of}"
            case CanaryHeld(hosts):
                self.batch = f"canary {', '.join(hosts)} is held"
            case RunEnded():
                for host, result in event.hosts.items():
                    why = result.problem or self.rows.get(host, Row(host)).problem
                    self._change(host, outcome=result.outcome, release=result.release, problem=why)
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

    def view(self, height: int) -> View:
        """Return what to show on `height` lines, failed and active hosts first."""
        rows = list(self.rows.values())
        shown = len(
            rows
        )  # where all rows fit, hosts keep their order: rows that jump are hard to read
        if len(rows) > height:
            rows.sort(key=lambda row: STATES.index(row.state))
            shown = min(height, sum(row.state in ("failed", "active") for row in rows))
        parts = [self.what, self.app, f"{len(rows)} host" + "s" * (len(rows) != 1), self.batch]
        hidden = Counter(str(row.outcome or row.state) for row in rows[shown:])
        rest = ", ".join(f"{number} more {word}" for word, number in hidden.items())
        return View("  ".join(filter(None, parts)), tuple(rows[:shown]), rest)

    def _change(self, host: str, **changes: object) -> None:
        row = self.rows.get(host, Row(host))
        self.rows[host] = replace(row, **changes)  # type: ignore[arg-type]

"""Write the report of a rehearsal as one HTML page with a timeline for each host.

Pure. The page is self-contained: no script, no other file, no network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shipit.output import messages
from shipit.rehearsal import report_text
from shipit.render import units

if TYPE_CHECKING:
    from shipit.rehearsal.report_text import RehearsalReport
    from shipit.rehearsal.scenario import Bar, StepResult

_TEMPLATE = "rehearsal.html"
_KINDS = {  # the CSS class of a transaction step; others are work before the switch
    "activate": "switch",
    "check": "gate",
    "commit": "commit",
    "revert": "return",
}


@dataclass(frozen=True)
class _Mark:
    """A bar of the timeline; `left` and `width` in percent of the step's duration."""

    kind: str
    step: str
    left: float
    width: float
    tip: str


@dataclass(frozen=True)
class _Lane:
    host: str
    marks: list[_Mark]


@dataclass(frozen=True)
class _Step:
    title: str
    took: str
    ended: str
    seen: list[str]
    wrong: tuple[str, ...]
    lanes: list[_Lane]


def page(rehearsal: RehearsalReport) -> str:
    """Return the report as HTML."""
    steps = [_step(result) for result in rehearsal.results]
    rest = [_Step(step.title, "", word, [], (), []) for step, word in rehearsal.not_run]
    return units.page(
        _TEMPLATE,
        title=rehearsal.title,
        verdict=_verdict(rehearsal),
        is_good=rehearsal.is_good,
        notes=rehearsal.notes,
        limits=rehearsal.provider.limits,
        steps=steps + rest,
    )


def _verdict(rehearsal: RehearsalReport) -> str:
    if rehearsal.is_interrupted:
        return "interrupted"
    return report_text.AS_EXPECTED if rehearsal.is_good else report_text.NOT_AS_EXPECTED


def _step(result: StepResult) -> _Step:
    hosts = sorted({bar.host for bar in result.bars})
    lanes = [
        _Lane(host, [_mark(bar, result) for bar in result.bars if bar.host == host])
        for host in hosts
    ]
    return _Step(
        title=result.step.title,
        took=messages.seconds(result.seconds),
        ended=report_text.ended(result),
        seen=report_text.seen(result),
        wrong=result.wrong,
        lanes=lanes,
    )


def _mark(bar: Bar, result: StepResult) -> _Mark:
    whole = max(result.seconds, 0.001)
    left = min(100.0, 100 * bar.began / whole)
    width = min(100.0 - left, 100 * bar.seconds / whole)
    failed = "" if bar.ok else ", failed"
    tip = (
        f"{bar.step}: {messages.seconds(bar.seconds)} from {messages.seconds(bar.began)} on{failed}"
    )
    kind = _KINDS.get(bar.step, "work") if bar.ok else "failed"
    return _Mark(kind, bar.step, round(left, 2), round(width, 2), tip)

"""Write a rehearsal's report as one page of HTML: what each host did when, step by step.

Pure. The page needs nothing but itself: no script, no other file, no network.
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
_KINDS = {  # of a step's colour; what is not here is work before the switch
    "activate": "switch",
    "check": "gate",
    "commit": "commit",
    "revert": "return",
}


@dataclass(frozen=True)
class _Mark:
    """A bar of the timeline: where it lies, in percent of the act, and what it is."""

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
class _Act:
    title: str
    took: str
    ended: str
    seen: list[str]
    wrong: tuple[str, ...]
    lanes: list[_Lane]


def page(played: RehearsalReport) -> str:
    """Return the report as HTML."""
    acts = [_act(scene) for scene in played.scenes]
    rest = [_Act(act.title, "", word, [], (), []) for act, word in played.not_played]
    return units.page(
        _TEMPLATE,
        title=played.title,
        verdict=_verdict(played),
        is_good=played.is_good,
        asides=played.asides,
        limits=played.provider.limits,
        acts=acts + rest,
    )


def _verdict(played: RehearsalReport) -> str:
    if played.is_interrupted:
        return "interrupted"
    return report_text.AS_EXPECTED if played.is_good else report_text.NOT_AS_EXPECTED


def _act(scene: StepResult) -> _Act:
    hosts = sorted({bar.host for bar in scene.bars})
    lanes = [
        _Lane(host, [_mark(bar, scene) for bar in scene.bars if bar.host == host]) for host in hosts
    ]
    return _Act(
        title=scene.act.title,
        took=messages.seconds(scene.seconds),
        ended=report_text.ended(scene),
        seen=report_text.seen(scene),
        wrong=scene.wrong,
        lanes=lanes,
    )


def _mark(bar: Bar, scene: StepResult) -> _Mark:
    whole = max(scene.seconds, 0.001)
    left = min(100.0, 100 * bar.began / whole)
    width = min(100.0 - left, 100 * bar.seconds / whole)
    failed = "" if bar.ok else ", failed"
    tip = (
        f"{bar.step}: {messages.seconds(bar.seconds)} from {messages.seconds(bar.began)} on{failed}"
    )
    kind = _KINDS.get(bar.step, "work") if bar.ok else "failed"
    return _Mark(kind, bar.step, round(left, 2), round(width, 2), tip)

"""Write the report of a rehearsal as one HTML page with a timeline for each host.

Pure. The page is self-contained: no script, no other file, no network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shipit.output import messages
from shipit.rehearsal import report_text
from shipit.render import templating

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


def page(rehearsal: RehearsalReport) -> str:
    """Return the report as HTML."""
    verdict = report_text.AS_EXPECTED if rehearsal.is_good else report_text.NOT_AS_EXPECTED
    steps = [_step(result) for result in rehearsal.results]
    none = {"took": "", "seen": (), "wrong": (), "lanes": ()}
    rest = [{**none, "title": step.title, "ended": word} for step, word in rehearsal.not_run]
    return templating.page(
        _TEMPLATE,
        title=rehearsal.title,
        verdict="interrupted" if rehearsal.is_interrupted else verdict,
        is_good=rehearsal.is_good,
        notes=rehearsal.notes,
        limits=rehearsal.provider.limits,
        steps=[*steps, *rest],
    )


def _step(result: StepResult) -> dict[str, object]:
    marks: dict[str, list[dict[str, object]]] = {bar.host: [] for bar in result.bars}
    for bar in result.bars:
        marks[bar.host].append(_mark(bar, max(result.seconds, 0.001)))
    return {
        "title": result.step.title,
        "took": messages.seconds(result.seconds),
        "ended": report_text.ended(result),
        "seen": report_text.seen(result),
        "wrong": result.wrong,
        "lanes": [{"host": host, "marks": marks[host]} for host in sorted(marks)],
    }


def _mark(bar: Bar, whole: float) -> dict[str, object]:
    """Return a bar with its place, in percent of the step's duration."""
    left = min(100.0, 100 * bar.began / whole)
    width = min(100.0 - left, 100 * bar.seconds / whole)
    tip = f"{bar.step}: {messages.seconds(bar.seconds)} from {messages.seconds(bar.began)} on"
    return {
        "kind": _KINDS.get(bar.step, "work") if bar.ok else "failed",
        "step": bar.step,
        "left": round(left, 2),
        "width": round(width, 2),
        "tip": tip if bar.ok else f"{tip}, failed",
    }

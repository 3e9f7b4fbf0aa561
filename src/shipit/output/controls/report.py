"""Lay out what holds deploys, and what was said of the run that is there. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shipit.agent.protocol.controls import CANARY, PROMOTE, Controls
from shipit.events import Problem
from shipit.output import messages
from shipit.output.layout import Line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from shipit.agent.protocol.controls import Control, Hold
    from shipit.output.layout import Part

    Found = Sequence[tuple[str, Mapping[str, object]]]

# Of a host on which a run is: what it means that a word has no effect there, or has one.
IN_VAIN = {
    "pause": "nothing to pause: this host is switched already",
    PROMOTE: "no canary is held here",
    "abort": "no canary is held here",
}
IN_EFFECT = {"resume": "the deploy goes on"}


OF_APP = ("hold", "unhold")  # not of a run


def has_effect(what: str, found: Found) -> bool:
    """Whether a word counts on any host; one that is about no run always does."""
    return what in OF_APP or any(
        isinstance(answer, Controls) and answer.counts
        for _, hosts in found
        for answer in hosts.values()
    )


def answers(what: str, found: Found) -> list[Part]:
    """Return what stands on each host now; hosts with the same answers are listed together."""
    parts: list[Part] = []
    for app, hosts in found:
        parts.append(Line(app, "strong"))
        alike: dict[Controls, list[str]] = {}
        for host, answer in hosts.items():
            if isinstance(answer, Controls):
                alike.setdefault(answer, []).append(host)
            elif isinstance(answer, Problem):
                parts += (Line(text, "bad") for text in messages.problem(answer))
        for answer, names in alike.items():
            parts += _of(what, messages.names(names), answer)
    return parts


def _of(what: str, host: str, answer: Controls) -> Iterator[Line]:
    if what in OF_APP:
        if not answer.holds:
            yield Line(f"{host}: nothing is held", "good")
    elif not answer.run:
        yield Line(f"{host}: no deploy runs here", "quiet")
    elif not answer.counts:
        yield Line(f"{host}: {IN_VAIN.get(what, 'it has no effect here')}", "quiet")
    elif what in IN_EFFECT:
        yield Line(f"{host}: {IN_EFFECT[what]}", "good")
    yield from standing(host, answer.holds, answer.pause, answer.canary)


def standing(
    host: str, holds: Sequence[Hold], pause: Control | None, canary: Control | None
) -> Iterator[Line]:
    """Yield a line for each thing that holds deploys on a host, or that was said of a run."""
    for hold in holds:
        what = hold.release or "deploys of this app"
        until = f" until {hold.until}" if hold.until else ""
        yield Line(f"{host}: held: {what}{until}, {_by(hold)}", "warn")
    if pause:
        yield Line(f"{host}: paused {_by(pause)}", "warn")
    if canary and canary.what == CANARY:
        yield Line(f"{host}: canary, held since {canary.at} in the deploy by {canary.who}", "warn")
    elif canary:
        verb = "promoted" if canary.what == PROMOTE else "aborted"
        yield Line(f"{host}: canary {verb} {_by(canary)}", "warn")


def _by(said: Hold | Control) -> str:
    return f"by {said.who} since {said.at}" + (f": {said.why}" if said.why else "")

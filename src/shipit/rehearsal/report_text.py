"""Write a rehearsal's report: what was played, how long it took, and what was not as it has to be.

Pure. The same text is shown and kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shipit.output import messages
from shipit.rehearsal.scenario import STEPS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from shipit.rehearsal.hosts import Assignment
    from shipit.rehearsal.providers.base import Provider
    from shipit.rehearsal.scenario import Observation, Served, Step, StepResult

AS_EXPECTED, NOT_AS_EXPECTED = "as expected", "NOT AS EXPECTED"


@dataclass(frozen=True)
class RehearsalReport:
    """A rehearsal as it went; acts after the first that went wrong were not played."""

    playbook: str
    provider: Provider
    cast: Assignment
    scenes: Sequence[StepResult]
    acts: Sequence[Step] = STEPS
    unplayable: Sequence[Step] = field(default=())  # by this provider
    is_interrupted: bool = False

    @property
    def is_good(self) -> bool:
        return not self.is_interrupted and not any(scene.wrong for scene in self.scenes)

    @property
    def title(self) -> str:
        machines = messages.count(len(self.cast.machines), "machine")
        return f"rehearsal of {self.playbook} on {machines} ({self.provider.kind})"

    @property
    def asides(self) -> list[str]:
        """What was left out, and why."""
        names = messages.names(self.cast.left_out)
        hosts = [f"left out, to boot no more machines: {names}"] if names else []
        kind = self.provider.kind
        return hosts + [
            f"left out, as {kind} can't play it: {act.title}" for act in self.unplayable
        ]

    @property
    def not_played(self) -> Iterator[tuple[Step, str]]:
        """Acts that have no scene, and what became of each."""
        for number, act in enumerate(self.acts[len(self.scenes) :]):
            yield act, "interrupted" if self.is_interrupted and number == 0 else "not played"


def report(played: RehearsalReport) -> str:
    """Return the report as text."""
    head = [f"{played.title}: {', '.join(played.cast.machines)}", *played.asides]
    scenes = [line for scene in played.scenes for line in _scene(scene)]
    rest = [_line(act, "", word) for act, word in played.not_played]
    return "\n".join([*head, "", *scenes, *rest, "", played.provider.limits]) + "\n"


def ended(scene: StepResult) -> str:
    return NOT_AS_EXPECTED if scene.wrong else AS_EXPECTED


def seen(scene: StepResult) -> list[str]:
    """Return what is no fault of a scene: the return, how it served, what runs."""
    back = []
    if scene.settled is not None:
        back = [f"back {messages.seconds(scene.settled)} after the fault, by itself"]
    return [*back, *_served(scene.served), *(f"runs {text}" for text in _running(scene.sights))]


def _scene(scene: StepResult) -> Iterator[str]:
    yield _line(scene.act, messages.seconds(scene.seconds), ended(scene))
    yield from (f"      {text}" for text in (*seen(scene), *scene.wrong))


def _line(act: Step, duration: str, word: str) -> str:
    return f"  {act.title:36}  {duration:>6}  {word}"


def _served(served: Mapping[tuple[str, str], Served]) -> Iterator[str]:
    """Give one sentence on all who asked meanwhile."""
    if not served:
        return
    asked = messages.count(sum(each.asked for each in served.values()), "request")
    dropped = sum(each.dropped for each in served.values())
    slowest = messages.seconds(max(each.slowest for each in served.values()))
    yield f"{asked} meanwhile, {dropped} dropped; the slowest took {slowest}"


def _running(sights: Mapping[tuple[str, str], Observation]) -> Iterator[str]:
    """Give what runs, with the hosts that run it."""
    hosts: dict[tuple[str, int], list[str]] = {}
    for (_, host), sight in sights.items():
        hosts.setdefault((sight.release or "nothing", sight.answered), []).append(host)
    for (release, answered), names in hosts.items():
        asked = f"; {messages.count(answered, 'health check')} of each asked from outside"
        yield f"{release} on {messages.names(names)}" + (asked if answered else "")

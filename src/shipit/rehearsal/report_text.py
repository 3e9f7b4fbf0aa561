"""Write the report of a rehearsal: its steps, their durations and their problems.

Pure. The same text is printed and written to a file.
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
    """The results of a rehearsal; steps after the first that failed did not run."""

    playbook: str
    provider: Provider
    assignment: Assignment
    results: Sequence[StepResult]
    steps: Sequence[Step] = STEPS
    unsupported: Sequence[Step] = field(default=())  # by this provider
    is_interrupted: bool = False

    @property
    def is_good(self) -> bool:
        return not self.is_interrupted and not any(result.wrong for result in self.results)

    @property
    def title(self) -> str:
        machines = messages.count(len(self.assignment.machines), "machine")
        return f"rehearsal of {self.playbook} on {machines} ({self.provider.kind})"

    @property
    def notes(self) -> list[str]:
        """Return what was left out, and why."""
        names = messages.names(self.assignment.left_out)
        hosts = [f"left out to limit the number of machines: {names}"] if names else []
        kind = self.provider.kind
        return hosts + [f"not supported by {kind}: {step.title}" for step in self.unsupported]

    @property
    def not_run(self) -> Iterator[tuple[Step, str]]:
        """Yield the steps without a result, and whether each was interrupted or did not run."""
        for number, step in enumerate(self.steps[len(self.results) :]):
            yield step, "interrupted" if self.is_interrupted and number == 0 else "not run"


def report(rehearsal: RehearsalReport) -> str:
    """Return the report as text."""
    head = [f"{rehearsal.title}: {', '.join(rehearsal.assignment.machines)}", *rehearsal.notes]
    results = [line for result in rehearsal.results for line in _result(result)]
    rest = [_line(step, "", word) for step, word in rehearsal.not_run]
    return "\n".join([*head, "", *results, *rest, "", rehearsal.provider.limits]) + "\n"


def ended(result: StepResult) -> str:
    return NOT_AS_EXPECTED if result.wrong else AS_EXPECTED


def seen(result: StepResult) -> list[str]:
    """Return what was observed in a step: recovery, requests, running releases."""
    back = []
    if result.settled is not None:
        back = [f"settled {messages.seconds(result.settled)} after the fault, by itself"]
    return [
        *back,
        *_served(result.served),
        *(f"runs {text}" for text in _running(result.observations)),
    ]


def _result(result: StepResult) -> Iterator[str]:
    yield _line(result.step, messages.seconds(result.seconds), ended(result))
    yield from (f"      {text}" for text in (*seen(result), *result.wrong))


def _line(step: Step, duration: str, word: str) -> str:
    return f"  {step.title:36}  {duration:>6}  {word}"


def _served(served: Mapping[tuple[str, str], Served]) -> Iterator[str]:
    """Yield one sentence that sums up the requests of all clients."""
    if not served:
        return
    requests = messages.count(sum(each.asked for each in served.values()), "request")
    dropped = sum(each.dropped for each in served.values())
    slowest = messages.seconds(max(each.slowest for each in served.values()))
    yield f"{requests} meanwhile, {dropped} dropped; the slowest took {slowest}"


def _running(observations: Mapping[tuple[str, str], Observation]) -> Iterator[str]:
    """Yield each running release with its hosts."""
    hosts: dict[tuple[str, int], list[str]] = {}
    for (_, host), sight in observations.items():
        hosts.setdefault((sight.release or "nothing", sight.answered), []).append(host)
    for (release, answered), names in hosts.items():
        requests = f"; {messages.count(answered, 'health check')} of each asked from outside"
        yield f"{release} on {messages.names(names)}" + (requests if answered else "")

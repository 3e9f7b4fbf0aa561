"""The timeline of a rehearsal: what it keeps of the events."""

from itertools import count

from shipit.events import Event, HostFailed, Problem, SecretsKnown, StepBegan, StepEnded
from shipit.rehearsal.scenario import Bar
from shipit.rehearsal.timeline import Timeline


def test_steps_become_bars_and_every_event_is_passed_on() -> None:
    passed_on, clock = list[Event](), iter([100.0, 103.0])
    timeline = Timeline(passed_on.append, lambda: next(clock))
    events: list[Event] = [StepBegan("web", "build"), StepEnded("web", "build", 2.0, ok=True)]
    for event in events:
        timeline(event)
    assert timeline.bars == [Bar("web", "build", 1.0, 2.0)]
    assert passed_on == events


def test_a_new_step_starts_with_an_empty_timeline() -> None:
    ticks = count()
    timeline = Timeline(list[Event]().append, lambda: float(next(ticks)))
    timeline(StepEnded("web", "build", 0.0, ok=True))
    timeline(HostFailed(Problem("web", "code", "it broke", "check")))
    assert timeline.problems == ["web: check: it broke"]
    timeline.begin()
    assert timeline.bars == []
    assert not timeline.problems


def test_a_problem_is_kept_with_the_end_of_its_evidence() -> None:
    timeline = Timeline(list[Event]().append)
    evidence = "\n".join(f"line {number}" for number in range(30)) + "\n"
    timeline(HostFailed(Problem("web", "code", "it broke", "check", evidence=evidence)))
    first, *rest = timeline.problems
    assert first == "web: check: it broke"
    assert rest == [f"| line {number}" for number in range(20, 30)]


def test_secrets_are_hidden_from_the_report_also_in_later_steps() -> None:
    timeline = Timeline(list[Event]().append)
    timeline(SecretsKnown(lambda text: text.replace("s3ntinel", "***")))
    timeline.begin()
    assert timeline.masked(["got s3ntinel"]) == ("got ***",)

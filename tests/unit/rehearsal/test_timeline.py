"""What a rehearsal keeps of all that it is told."""

from itertools import count

from shipit.events import Event, HostFailed, Problem, SecretsKnown, StepBegan, StepEnded
from shipit.rehearsal.scenario import Bar
from shipit.rehearsal.timeline import Timeline


def test_steps_become_bars_that_end_when_they_are_told_and_all_is_passed_on() -> None:
    told, clock = list[Event](), iter([100.0, 103.0])
    recording = Timeline(told.append, lambda: next(clock))
    events: list[Event] = [StepBegan("web", "build"), StepEnded("web", "build", 2.0, ok=True)]
    for event in events:
        recording(event)
    assert recording.bars == (Bar("web", "build", 1.0, 2.0),)
    assert told == events


def test_an_act_that_begins_forgets_the_last_one() -> None:
    ticks = count()
    recording = Timeline(list[Event]().append, lambda: float(next(ticks)))
    recording(StepEnded("web", "build", 0.0, ok=True))
    recording(HostFailed(Problem("web", "code", "it broke", "check")))
    assert recording.problems == ("web: check: it broke",)
    recording.begin()
    assert recording.bars == ()
    assert not recording.problems


def test_a_problem_is_kept_with_the_end_of_its_evidence() -> None:
    recording = Timeline(list[Event]().append)
    evidence = "\n".join(f"line {number}" for number in range(30)) + "\n"
    recording(HostFailed(Problem("web", "code", "it broke", "check", evidence=evidence)))
    first, *rest = recording.problems
    assert first == "web: check: it broke"
    assert rest == [f"| line {number}" for number in range(20, 30)]


def test_secrets_are_hidden_from_the_report_also_in_later_acts() -> None:
    recording = Timeline(list[Event]().append)
    recording(SecretsKnown(lambda text: text.replace("s3ntinel", "***")))
    recording.begin()
    assert recording.masked(["got s3ntinel"]) == ("got ***",)

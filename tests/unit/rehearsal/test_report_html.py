"""The report of a rehearsal as HTML."""

import re
from html.parser import HTMLParser

from shipit.rehearsal.hosts import Assignment
from shipit.rehearsal.providers import nspawn
from shipit.rehearsal.report_html import page
from shipit.rehearsal.report_text import RehearsalReport
from shipit.rehearsal.scenario import STEPS, Bar, Observation, StepResult

OBSERVATIONS = {("app", "web1"): Observation("1.0.0-a", 1)}
BARS = (
    Bar("web1", "build", 0.0, 2.0),
    Bar("web1", "activate", 2.0, 1.0),
    Bar("web2", "check", 3.0, 5.0, ok=False),
)


def rehearsal(*results: StepResult, is_interrupted: bool = False) -> RehearsalReport:
    assignment = Assignment({"web1": "web1"}, ("web2",))
    return RehearsalReport(
        "p.yaml", nspawn.PROVIDER, assignment, results, is_interrupted=is_interrupted
    )


class Tags(HTMLParser):
    """Checks that every opened tag is closed in order."""

    ONES = ("meta",)

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.outside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.outside += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.ONES:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_self_contained() -> None:
    tags = Tags(text := page(rehearsal(StepResult(STEPS[0], 10.0, (), OBSERVATIONS, bars=BARS))))
    assert (tags.open, tags.outside) == ([], [])
    assert "<script" not in text
    assert "url(" not in text


def test_a_bar_is_placed_by_its_start_and_duration() -> None:
    text = page(rehearsal(StepResult(STEPS[0], 10.0, (), OBSERVATIONS, bars=BARS)))
    marks = re.findall(r'class="mark (\w+)" style="left:([\d.]+)%;width:([\d.]+)%', text)
    assert marks == [
        ("work", "0.0", "20.0"),
        ("switch", "20.0", "10.0"),
        ("failed", "30.0", "50.0"),
    ]
    assert "check: 5.0s from 3.0s on, failed" in text
    assert text.index("<b>web1</b>") < text.index("<b>web2</b>")


def test_a_narrow_bar_shows_its_step_as_a_tooltip() -> None:
    text = page(rehearsal(StepResult(STEPS[0], 100.0, bars=(Bar("web1", "commit", 0.0, 5.0),))))
    assert 'title="commit: 5.0s from 0.0s on"></span>' in text


def test_a_bar_never_leaves_its_track() -> None:
    late = (Bar("web1", "commit", 9.0, 5.0), Bar("web1", "commit", 12.0, 5.0))
    text = page(rehearsal(StepResult(STEPS[0], 10.0, bars=late)))
    assert "left:90.0%;width:10.0%" in text
    assert "left:100.0%;width:0.0%" in text


def test_the_verdict_comes_first_and_steps_that_did_not_run_come_last() -> None:
    text = page(rehearsal(StepResult(STEPS[0], 1.0, ("web1: nothing of app runs",))))
    assert '<strong class="bad">NOT AS EXPECTED</strong>' in text
    assert '<li class="bad">web1: nothing of app runs</li>' in text
    assert text.count("not run") == 3
    assert '<strong class="good">as expected</strong>' in page(rehearsal(StepResult(STEPS[0], 1.0)))
    assert '<strong class="bad">interrupted</strong>' in page(rehearsal(is_interrupted=True))


def test_answers_of_a_service_are_escaped() -> None:
    text = page(rehearsal(StepResult(STEPS[0], 1.0, ("got <script>alert(1)</script> & more",))))
    assert "got &lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in text

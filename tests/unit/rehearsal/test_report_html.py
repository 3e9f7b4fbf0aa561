"""A rehearsal's report as a page."""

import re
from html.parser import HTMLParser

from shipit.rehearsal.hosts import Assignment
from shipit.rehearsal.providers import nspawn
from shipit.rehearsal.report_html import page
from shipit.rehearsal.report_text import RehearsalReport
from shipit.rehearsal.scenario import STEPS, Bar, Observation, StepResult

SIGHTS = {("app", "web1"): Observation("1.0.0-a", 1)}
BARS = (
    Bar("web1", "build", 0.0, 2.0),
    Bar("web1", "activate", 2.0, 1.0),
    Bar("web2", "check", 3.0, 5.0, ok=False),
)


def played(*scenes: StepResult, is_interrupted: bool = False) -> RehearsalReport:
    cast = Assignment({"web1": "web1"}, ("web2",))
    return RehearsalReport("p.yaml", nspawn.PROVIDER, cast, scenes, is_interrupted=is_interrupted)


class Tags(HTMLParser):
    """Checks that what is opened is closed, in order."""

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


def test_the_page_is_whole_and_needs_nothing_else() -> None:
    tags = Tags(text := page(played(StepResult(STEPS[0], 10.0, (), SIGHTS, bars=BARS))))
    assert (tags.open, tags.outside) == ([], [])
    assert "<script" not in text
    assert "url(" not in text


def test_a_bar_lies_where_its_step_was_in_the_act() -> None:
    text = page(played(StepResult(STEPS[0], 10.0, (), SIGHTS, bars=BARS)))
    marks = re.findall(r'class="mark (\w+)" style="left:([\d.]+)%;width:([\d.]+)%', text)
    assert marks == [
        ("work", "0.0", "20.0"),
        ("switch", "20.0", "10.0"),
        ("failed", "30.0", "50.0"),
    ]
    assert "check: 5.0s from 3.0s on, failed" in text
    assert text.index("<b>web1</b>") < text.index("<b>web2</b>")


def test_a_bar_that_has_no_room_for_its_step_says_it_to_who_points_at_it() -> None:
    text = page(played(StepResult(STEPS[0], 100.0, bars=(Bar("web1", "commit", 0.0, 5.0),))))
    assert 'title="commit: 5.0s from 0.0s on"></span>' in text


def test_a_bar_never_leaves_its_track() -> None:
    late = (Bar("web1", "commit", 9.0, 5.0), Bar("web1", "commit", 12.0, 5.0))
    text = page(played(StepResult(STEPS[0], 10.0, bars=late)))
    assert "left:90.0%;width:10.0%" in text
    assert "left:100.0%;width:0.0%" in text


def test_the_verdict_is_told_first_and_what_was_not_played_last() -> None:
    text = page(played(StepResult(STEPS[0], 1.0, ("web1: nothing of app runs",))))
    assert '<strong class="bad">NOT AS EXPECTED</strong>' in text
    assert '<li class="bad">web1: nothing of app runs</li>' in text
    assert text.count("not played") == 3
    assert '<strong class="good">as expected</strong>' in page(played(StepResult(STEPS[0], 1.0)))
    assert '<strong class="bad">interrupted</strong>' in page(played(is_interrupted=True))


def test_what_a_service_answered_is_text_and_no_page_of_its_own() -> None:
    text = page(played(StepResult(STEPS[0], 1.0, ("got <script>alert(1)</script> & more",))))
    assert "got &lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in text

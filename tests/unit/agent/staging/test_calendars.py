"""The times of a release's timers, as this machine's systemd reads them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import agent_builders
from shipit.agent.staging import calendars
from shipit.agent.system.paths import Paths

TIMER = "[Timer]\nOnCalendar={}\nPersistent=yes\n"

pytestmark = pytest.mark.skipif(
    not shutil.which("systemd-analyze", path="/usr/bin:/bin"), reason="no systemd-analyze here"
)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    (tmp_path / "units").mkdir()
    return Paths("demo", str(tmp_path / "opt"), str(tmp_path / "var"), str(tmp_path / "units"))


def reported(paths: Paths, text: str) -> list[str]:
    host = agent_builders.NoSystemd()
    texts = {"units/demo-job.timer": text, "files/x.timer": TIMER.format("never")}
    return [each.code for each in calendars.problems(paths, host, texts)]


def test_what_systemd_understands_is_no_problem(paths: Paths) -> None:
    assert reported(paths, TIMER.format("Mon..Fri *-*-* 06:30")) == []


@pytest.mark.parametrize("calendar", ["noon", "10:00 Nowhere/Land", "--help"])
def test_a_time_that_systemd_cannot_parse_is_reported(paths: Paths, calendar: str) -> None:
    assert reported(paths, TIMER.format(calendar)) == ["timer-unknown"]


def test_a_timer_that_is_installed_is_not_asked_about_again(paths: Paths) -> None:
    text = TIMER.format("noon")
    Path(paths.units, "demo-job.timer").write_text(text)
    assert reported(paths, text) == []

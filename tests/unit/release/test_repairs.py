"""What puts drift right, and how a release is called that is made anew."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from project import TOP
from shipit import agent
from shipit.agent.protocol.answers import OTHERS, REBUILT, SWITCHED, Drift
from shipit.release.repairs import FIXES, fix_for, name_of
from unit.release.test_plan import facts, line

ID = "1.0.0-0a1b2c3d"
SPOILT = Drift("file-changed", "/x.py", "/x.py was changed")
EDITED = Drift("text-changed", "/app.ini", "/app.ini was changed")


def test_each_kind_of_drift_that_an_agent_reports_has_a_fix() -> None:
    folder = Path(agent.__file__).parent
    texts = "".join(path.read_text() for path in folder.rglob("*.py"))
    reported = set(re.findall(r'Drift\(\s*"([a-z-]+)"', texts)) | {"adopted-moved", "current-moved"}
    assert reported == set(FIXES) == REBUILT | SWITCHED | OTHERS


def test_the_page_about_hosts_has_each_kind_of_drift_in_the_line_of_its_fix() -> None:
    page = (TOP / "docs/host.md").read_text()
    table = page[page.index("| code | what to do |") : page.index("A release that is made anew")]
    lines = [line.split("|")[1:3] for line in table.strip().splitlines()[2:]]
    codes = [set(re.findall(r"`([a-z-]+)`", cell)) for cell, _ in lines]
    assert codes == [SWITCHED, REBUILT, {"drop-in"}, {"unit-not-reloaded"}, {"adopted-moved"}]


def test_a_drop_in_is_left_to_the_operator_with_its_path() -> None:
    hint = fix_for(Drift("drop-in", "/etc/x.d/a.conf", "it changes a unit"))
    assert "a deploy leaves it: rm /etc/x.d/a.conf" in hint


def test_a_kind_of_a_newer_agent_has_a_fix_as_well() -> None:
    assert fix_for(Drift("new-kind", "/x", "x")).startswith("shipit deploy PLAYBOOK")


@pytest.mark.parametrize(
    ("there", "drift", "name"),
    [
        ("", (), ID),
        (f"{ID}*", (), ID),
        (f"{ID}*", (SPOILT,), f"{ID}_2"),
        (f"{ID}*", (EDITED,), ID),  # put right in its place
        (f"{ID} {ID}_2*", (), f"{ID}_2"),
        (f"{ID} {ID}_2*", (EDITED, SPOILT), f"{ID}_3"),
        (f"{ID}_2! {ID}*", (SPOILT,), f"{ID}_2"),  # it has failed, and is made anew
        (f"{ID} {ID}_2 other*", (SPOILT,), f"{ID}_2"),  # what runs is something else
        (f"{ID} {ID}_2! other*", (), ID),
        ("other*", (SPOILT,), ID),
    ],
)
def test_a_release_has_the_name_of_its_last_generation_or_of_a_new_one(
    there: str, drift: tuple[Drift, ...], name: str
) -> None:
    lines = tuple(
        line(
            word.rstrip("*!"),
            running=word.endswith("*"),
            outcome="rolled_back" if word.endswith("!") else "committed",
        )
        for word in there.split()
    )
    assert name_of(ID, replace(facts(), releases=lines, drift=drift)) == name

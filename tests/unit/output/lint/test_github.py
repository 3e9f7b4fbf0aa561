"""Workflow commands: docs.github.com, "Workflow commands for GitHub Actions"."""

from __future__ import annotations

from pathlib import PurePath

import pytest

from shipit.errors import Mistake, Place
from shipit.lint.findings import Finding, Level
from shipit.output.lint.github import annotation

HERE = PurePath("/srv/repo")


def found(mistake: Mistake, level: Level = Level.ERROR) -> str:
    return annotation(Finding(level, mistake, "books/prod.yaml"), HERE)


def test_a_finding_is_one_line_at_its_place() -> None:
    mistake = Mistake("some-code", "100% wrong", Place("a.yaml", 3, 7), "fix\r\nit", ("web1",))
    assert found(mistake) == (
        "::error file=a.yaml,line=3,col=7,title=some-code::100%25 wrong, on web1%0Afix%0D%0Ait"
    )


def test_a_warning_is_a_warning() -> None:
    assert found(Mistake("c", "w"), Level.WARNING).startswith("::warning ")


def test_no_name_of_a_file_ends_a_property_or_the_command() -> None:
    line = found(Mistake("c", "a::b", Place("a,line=9::x:%.yaml", 1)))
    assert line == "::error file=a%2Cline=9%3A%3Ax%3A%25.yaml,line=1,title=c::a::b"


@pytest.mark.parametrize("place", [None, Place("--limit"), Place("--extra-vars", 2, 3)])
def test_what_has_no_place_in_a_file_is_shown_at_the_playbook(place: Place | None) -> None:
    assert found(Mistake("c", "w", place)) == "::error file=books/prod.yaml,line=1,title=c::w"


@pytest.mark.parametrize(
    ("file", "shown"),
    [
        ("books/../lock.txt", "lock.txt"),
        ("./a.yaml", "a.yaml"),
        ("/srv/repo/a.yaml", "a.yaml"),
        ("../other/a.yaml", "/srv/other/a.yaml"),
        ("/srv/repo2/a.yaml", "/srv/repo2/a.yaml"),
    ],
)
def test_a_path_is_relative_to_the_current_folder_if_it_is_below(file: str, shown: str) -> None:
    assert f"file={shown}," in found(Mistake("c", "w", Place(file, 1)))

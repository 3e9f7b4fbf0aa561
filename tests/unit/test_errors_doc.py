"""docs/errors.md has every error code of the source and no other, each with cause and fix."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from error_codes import CODE, Found, scan
from project import TOP

if TYPE_CHECKING:
    from pathlib import Path

PAGE = (TOP / "docs/errors.md").read_text(encoding="utf-8")
HEAD = ["| code | cause | fix |", "|---|---|---|"]
FAILURE = "class Failure:\n    def __init__(self, code: str, what: str) -> None: ...\n"
FORMS = {  # how a code may be given: an example, and what is found
    "a text": ("Failure('disk-full', 'a-text')", {"disk-full"}),
    "one word": ("Failure('stuck', '')", {"stuck"}),
    "a keyword": ("Failure(what='', code='disk-full')", {"disk-full"}),
    "one of two": ("Failure('disk-bad' if 1 else 'disk-full', '')", {"disk-bad", "disk-full"}),
    "in a dict": ("def f(e): return [{'code': 'bug'}, {'code': e.code}]", {"bug"}),
    "a constant": ("FULL = 'disk-full'\nFailure(FULL, '')", {"disk-full"}),
    "of a module": ("FULL = 'disk-full'\nFailure(journal.FULL, '')", {"disk-full"}),
    "to a subclass": ("class A(Failure): ...\nclass B(A): ...\nB('disk-full', '')", {"disk-full"}),
    "handed on": ("def f(e):\n    both = (e.code, e.what)\n    Failure(*both)", set()),
    "a field": (
        """
class Mistake:
    what: str
    code: str = "by-default"
Mistake("", "disk-full")
""",
        {"by-default", "disk-full"},
    ),
    "to a method": (
        """
class Reader:
    def wrong(self, code, what):
        raise Failure(code, what)
    def read(self):
        self.wrong("disk-full", "")
""",
        {"disk-full"},
    ),
    "out of a table": (
        """
TABLE = {28: ("disk-full", "no space")}
def failure(number):
    code, what = TABLE.get(number, ("os-error", ""))
    return Failure(code, what)
""",
        {"disk-full", "os-error"},
    ),
    "by a function": (
        """
REPORTED = [("a password", "no-password")]
def which(said):
    for text, code in REPORTED:
        if text in said:
            return code
    return "not-reported", "not-a-code"
def failure(said):
    code = which(said)
    return Failure(code, said)
""",
        {"no-password", "not-reported"},
    ),
}


@pytest.fixture(scope="module")
def found() -> Found:
    return scan(TOP / "src/shipit")


def groups() -> dict[str, list[list[str]]]:
    """Return the cells of each row, by the heading that it is below."""
    parts = re.split(r"^## (.+)\n", PAGE, flags=re.MULTILINE)
    lines = {
        heading: [line for line in text.splitlines() if line.startswith("|")]
        for heading, text in zip(parts[1::2], parts[2::2], strict=True)
    }
    assert all(rows[:2] == HEAD for rows in lines.values())
    return {
        heading: [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows[2:]]
        for heading, rows in lines.items()
    }


def documented() -> list[str]:
    return [cells[0].strip("`") for rows in groups().values() for cells in rows]


def test_every_code_is_documented(found: Found) -> None:
    assert found.codes - {*documented()} == set(), "give each a row in docs/errors.md"


def test_no_code_is_documented_that_is_gone(found: Found) -> None:
    assert {*documented()} - found.codes == set(), "take these rows out of docs/errors.md"


def test_no_code_comes_from_where_it_cannot_be_followed(found: Found) -> None:
    assert found.lost == (), "give `code` a text, a constant or a table"


def test_every_code_has_one_row_with_a_cause_and_a_fix() -> None:
    assert [code for code, times in Counter(documented()).items() if times > 1] == []
    for cells in (cells for rows in groups().values() for cells in rows):
        assert len(cells) == 3, cells
        assert all(cells), cells
        assert CODE.fullmatch(cells[0].strip("`")), cells


def test_the_codes_of_a_group_are_sorted() -> None:
    for heading, rows in groups().items():
        assert rows, heading
        assert rows == sorted(rows, key=lambda cells: cells[0].strip("`")), heading


@pytest.mark.parametrize("form", FORMS)
def test_a_code_is_found_however_it_is_given(form: str, tmp_path: Path) -> None:
    source, codes = FORMS[form]
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "any.py").write_text(f"{FAILURE}\n{source}\n")
    assert scan(tmp_path) == Found(frozenset(codes), ())


def test_a_definition_in_another_file_is_found_and_one_in_the_same_file_goes_first(
    tmp_path: Path,
) -> None:
    (tmp_path / "errors.py").write_text(f"{FAILURE}\nBAD = 'disk-bad'")
    (tmp_path / "one.py").write_text("import errors\nerrors.Failure('disk-full', '')")
    (tmp_path / "two.py").write_text("def Failure(text): ...\nFailure('not-a-code')")
    (tmp_path / "three.py").write_text("from errors import BAD, Failure\nFailure(BAD, '')")
    assert scan(tmp_path) == Found(frozenset({"disk-full", "disk-bad"}), ())


def test_a_code_that_cannot_be_followed_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "errors.py"
    path.write_text(f"{FAILURE}\ndef f(): return Failure(made_up(), '')\n")
    assert scan(tmp_path).lost == (f"{path}:4: made_up()",)

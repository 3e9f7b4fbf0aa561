"""The page of error codes is where the meanings of SARIF's rules come from."""

from __future__ import annotations

from error_codes import scan
from project import TOP
from shipit.output.lint import error_codes


def test_every_code_has_a_meaning_without_links() -> None:
    found = error_codes.meanings(error_codes.page())
    assert scan(TOP / "src/shipit").codes <= found.keys()
    assert not any("](" in meaning.cause + meaning.fix for meaning in found.values())


def test_the_wheel_has_the_page() -> None:
    """In a source tree it is found at the top; the wheel's build puts it into the package."""
    line = '"docs/errors.md" = "shipit/docs/errors.md"'
    assert line in (TOP / "pyproject.toml").read_text().splitlines()

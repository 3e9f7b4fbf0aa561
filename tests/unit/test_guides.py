"""The pages of docs/guides: what they show is what shipit writes, and a test plays each."""

from __future__ import annotations

from pathlib import Path

import pytest

import guides
from hosts.test_projects import KINDS, PROJECTS, Kind

ELSEWHERE = {
    "newer-python": "tests/unit/project/test_newer_python.py",
    "private-index": "tests/unit/project/test_private_index.py",
}
TOP = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_guide_shows_the_playbook_that_init_writes(kind: Kind) -> None:
    page = kind.page or kind.name
    (shown, *_) = guides.blocks(page, "yaml")
    assert shown == (PROJECTS / f"{kind.name}.yaml").read_text()


def test_every_guide_is_played_by_a_test() -> None:
    pages = {page.stem for page in guides.FOLDER.glob("*.md")}
    assert pages == {kind.page or kind.name for kind in KINDS} | ELSEWHERE.keys()
    for page, test in ELSEWHERE.items():
        assert f'"{page}"' in (TOP / test).read_text()


def test_the_readme_links_every_guide() -> None:
    readme = (TOP / "README.md").read_text()
    for page in guides.FOLDER.glob("*.md"):
        assert f"(docs/guides/{page.name})" in readme

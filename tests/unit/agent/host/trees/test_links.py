"""A directory of hard links is there whole or not at all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from shipit.agent.host.trees import links

if TYPE_CHECKING:
    from pathlib import Path


def test_files_of_several_directories_are_linked_together(tmp_path: Path) -> None:
    old, new = tmp_path / "old.js", tmp_path / "new.js"
    for path in (old, new):
        path.write_text(path.name)
    view = tmp_path / "view"
    links.make(str(view), {"old.js": str(old), "js/deep/new.js": str(new)})
    assert (view / "js/deep/new.js").samefile(new)
    assert (view / "old.js").samefile(old)
    assert {path.stat().st_mode & 0o777 for path in (view, view / "js/deep")} == {0o755}


def test_nothing_is_left_of_one_that_fails(tmp_path: Path) -> None:
    there = tmp_path / "there.js"
    there.write_text("")
    with pytest.raises(FileNotFoundError):
        links.make(str(tmp_path / "view"), {"a.js": str(there), "b.js": str(tmp_path / "gone")})
    assert [path.name for path in tmp_path.iterdir()] == ["there.js"]


def test_what_a_killed_predecessor_has_left_is_replaced(tmp_path: Path) -> None:
    there = tmp_path / "there.js"
    there.write_text("")
    left = tmp_path / f"view.{os.getpid()}.new"
    left.mkdir()
    (left / "half.js").write_text("")
    links.make(str(tmp_path / "view"), {"a.js": str(there)})
    assert [path.name for path in (tmp_path / "view").iterdir()] == ["a.js"]

"""The revision of a project, and the version made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from packaging.version import Version

from repositories import TIME, committed, git
from shipit.project import revision
from shipit.project.revision import NO_TIME, Revision

if TYPE_CHECKING:
    from pathlib import Path


def test_a_clean_and_a_changed_repository_are_distinguished(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    commit = committed(tmp_path)
    found = revision.of(tmp_path)
    assert found == Revision(commit, TIME, commit[:7], is_dirty=False)
    assert found.version == f"2026.9.21.141320+g{commit[:9]}"
    (tmp_path / "a").write_text("2")
    changed = revision.of(tmp_path)
    assert (changed.is_dirty, changed.version) == (True, f"{found.version}.dirty")
    assert str(changed) == f"{commit[:7]}, with changes"


def test_a_tag_names_a_revision(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    committed(tmp_path)
    git(tmp_path, "tag", "v1.2")
    assert str(revision.of(tmp_path)) == "v1.2"


def test_changes_elsewhere_in_the_repository_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "a").write_text("1")
    (tmp_path / "b").write_text("1")
    committed(tmp_path)
    (tmp_path / "b").write_text("2")
    assert not revision.of(tmp_path / "site").is_dirty


@pytest.mark.parametrize("has_git", [True, False])
def test_outside_of_git_there_is_no_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_git: bool
) -> None:
    if not has_git:
        monkeypatch.setenv("PATH", str(tmp_path))
    found = revision.of(tmp_path)
    assert (found, found.version, str(found)) == (Revision(), "0", "no revision")
    assert found.time == NO_TIME


def test_a_later_commit_has_a_later_version() -> None:
    early, late = (Revision("a" * 40, time).version for time in (TIME, TIME + 50_000))
    assert Version(early) < Version(late)
    assert str(Version(early)) == early

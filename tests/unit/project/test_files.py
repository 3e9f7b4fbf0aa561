"""Which files make a project."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from repositories import committed, ignored
from shipit.errors import InputError
from shipit.project import files
from shipit.project.cache import Cache

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def listed(folder: Path, *include: str, exclude: tuple[str, ...] = ()) -> list[str]:
    return [file.name for file in files.listing(folder, include, exclude).files]


def test_of_a_repository_the_tracked_files_are_taken_as_they_are_now(tmp_path: Path) -> None:
    write(tmp_path, "b.py", "a/é.py", "gone.py")
    committed(tmp_path)
    write(tmp_path, "b.py", "dump.sql", ".env")
    (tmp_path / "gone.py").unlink()
    found = files.listing(tmp_path)
    assert [file.name for file in found.files] == ["a/é.py", "b.py"]
    assert found.left_out == (".env", "dump.sql")


def test_of_a_folder_in_a_repository_only_its_own_files_are_taken(tmp_path: Path) -> None:
    write(tmp_path, "other/a.py", "site/b.py")
    committed(tmp_path)
    assert listed(tmp_path / "site") == ["b.py"]


@pytest.mark.parametrize("is_ignored", [False, True])
def test_elsewhere_all_files_but_by_products_and_hidden_ones_are_taken(
    tmp_path: Path, *, is_ignored: bool
) -> None:
    folder = tmp_path / "site"
    write(folder, "a.py", "a.pyc", ".env", ".venv/x", "build/x", "pkg/build/x", "pkg/.cache/x")
    write(folder, "node_modules/x", "pkg/__pycache__/x")
    if is_ignored:
        ignored(tmp_path, "site")
    assert listed(folder) == ["a.py", "pkg/build/x"]


def test_shipits_own_cache_is_left_out_and_no_other_one(tmp_path: Path) -> None:
    write(tmp_path, "models/CACHEDIR.TAG", "models/weights.bin")
    cache = Cache(tmp_path / "made")
    with cache.workspace() as work:
        (work / "login.txt").write_text("hunter2")
        (tmp_path / "app.py").touch()
        assert listed(tmp_path) == ["app.py", "models/CACHEDIR.TAG", "models/weights.bin"]


def test_patterns_add_and_remove_files(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "docs/x/y.md", "tests/t.py")
    committed(tmp_path)
    write(tmp_path, "static/app.js", "static/.well-known/x", "static2/app.js")
    found = listed(tmp_path, "static", exclude=("docs/*", "tests/"))
    assert found == ["a.py", "static/.well-known/x", "static/app.js"]


def test_the_mode_is_what_git_keeps(tmp_path: Path) -> None:
    write(tmp_path, "a", "b")
    (tmp_path / "a").chmod(0o700)
    (tmp_path / "b").chmod(0o666)
    assert [file.mode for file in files.listing(tmp_path).files] == [0o755, 0o644]


@pytest.mark.parametrize("name", ["a\\b", "a\nb"])
def test_a_name_that_installers_read_differently_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path, name)
    with pytest.raises(InputError, match="installers read differently"):
        files.listing(tmp_path)


def test_a_symlink_out_of_the_project_is_refused_and_one_inside_is_followed(
    tmp_path: Path,
) -> None:
    site = tmp_path / "site"
    write(tmp_path, "secret", "site/a.py")
    (site / "b.py").symlink_to("a.py")
    assert listed(site) == ["a.py", "b.py"]
    (site / "c.py").symlink_to("../secret")
    with pytest.raises(InputError) as caught:
        files.listing(site)
    (mistake,) = caught.value.mistakes
    assert (mistake.code, "c.py is a symlink" in mistake.what) == ("project-files", True)


def test_a_folder_that_git_has_as_one_entry_is_not_lost(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "lib/b.py")
    (tmp_path / "link").symlink_to("lib")
    committed(tmp_path)
    with pytest.raises(InputError, match="link is a submodule, or a symlink to a folder"):
        files.listing(tmp_path)
    assert listed(tmp_path, exclude=("link",)) == ["a.py", "lib/b.py"]
    with pytest.raises(InputError, match="link is a submodule, or a symlink to a folder"):
        files.listing(tmp_path, ("link",))


def test_a_symlink_to_a_folder_is_not_lost_outside_of_git_either(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "lib/b.py")
    (tmp_path / "link").symlink_to("lib")
    with pytest.raises(InputError, match="link is a submodule, or a symlink to a folder"):
        files.listing(tmp_path)


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST", 1)
    write(tmp_path, "a", "b")
    with pytest.raises(InputError, match="has 2 files"):
        files.listing(tmp_path)

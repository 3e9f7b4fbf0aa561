"""Which files of a project are read: bounded, no link out of it, whatever lies there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shipit.errors import Place
from shipit.init import project_files
from shipit.init.project_files import Note, ProjectFiles, load

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65534  # the user that owns nothing


def put(folder: Path, path: str, text: str | bytes = "x = 1\n") -> Path:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_descriptions_requirements_locks_and_source_are_read_those_at_the_top_first(
    tmp_path: Path,
) -> None:
    for path in ("z.py", "pkg/a.py", "uv.lock", "requirements/prod.txt", "README.md", "Procfile"):
        put(tmp_path, path)
    assert list(load(tmp_path).texts) == [
        *("Procfile", "uv.lock", "z.py"),
        *("pkg/a.py", "requirements/prod.txt"),
    ]


@pytest.mark.parametrize(
    "folder", [".git", ".venv", "venv", "node_modules", "tests", "migrations", "__pycache__"]
)
def test_folders_without_the_apps_own_source_are_skipped(tmp_path: Path, folder: str) -> None:
    put(tmp_path, f"{folder}/app.py")
    assert load(tmp_path).texts == {}


def test_a_venv_under_any_name_is_skipped(tmp_path: Path) -> None:
    put(tmp_path, "py312/pyvenv.cfg")
    put(tmp_path, "py312/lib/app.py")
    assert load(tmp_path).texts == {}


def test_a_link_out_of_the_project_is_not_followed(tmp_path: Path) -> None:
    put(tmp_path, "outside/app.py", "SECRET = 1\n")
    project = tmp_path / "project"
    put(project, "inside.py")
    (project / "app.py").symlink_to(tmp_path / "outside/app.py")
    (project / "pkg").symlink_to(tmp_path / "outside")
    (project / "same.py").symlink_to("inside.py")
    found = load(project)
    assert list(found.texts) == ["inside.py", "same.py"]
    assert [str(note) for note in found.notes] == ["app.py: links out of the project; not read"]


def test_links_in_a_circle_and_into_nothing_are_notes(tmp_path: Path) -> None:
    (tmp_path / "a.py").symlink_to("b.py")
    (tmp_path / "b.py").symlink_to("a.py")
    (tmp_path / "c.py").symlink_to("gone.py")
    found = load(tmp_path)
    assert found.texts == {}
    assert [note.place.file for note in found.notes] == ["a.py", "b.py", "c.py"]


def test_a_pipe_without_a_writer_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pyproject.toml")
    assert load(tmp_path).notes == (Note("is no file; not read", Place("pyproject.toml")),)


def test_a_file_of_another_encoding_is_a_note_with_its_line(tmp_path: Path) -> None:
    put(tmp_path, "pyproject.toml", b"[project]\nname = '\xff'\n")
    assert [str(note) for note in load(tmp_path).notes] == [
        "pyproject.toml:2: is not UTF-8 text; not read"
    ]


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    put(tmp_path, "app.py", b"\xef\xbb\xbfx = 1\n")
    assert load(tmp_path).texts == {"app.py": "x = 1\n"}


def test_a_large_file_is_a_note_and_a_lock_may_be_larger(tmp_path: Path) -> None:
    put(tmp_path, "app.py", "#" * (512 * 1024 + 1))
    put(tmp_path, "uv.lock", "#" * (512 * 1024 + 1))
    found = load(tmp_path)
    assert list(found.texts) == ["uv.lock"]
    assert [str(note) for note in found.notes] == ["app.py: is larger than 512 KiB; not read"]


def test_only_some_files_of_a_huge_project_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project_files, "_MOST_TEXTS", 2)
    for name in "abcd":
        put(tmp_path, f"{name}.py")
    found = load(tmp_path)
    assert list(found.texts) == ["a.py", "b.py"]
    assert [note.what for note in found.notes] == [
        "there are more than 2 files; the others were not looked at"
    ]


def test_only_so_many_folders_deep_are_read(tmp_path: Path) -> None:
    put(tmp_path, "a/b/c/d/e/f/g/h/app.py")
    put(tmp_path, "a/b/c/d/e/f/g/h/i/app.py")
    assert list(load(tmp_path).texts) == ["a/b/c/d/e/f/g/h/app.py"]


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """Give a folder that every user can reach."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_what_may_not_be_read_is_a_note(open_to_all: Path) -> None:
    put(open_to_all, "app.py").chmod(0)
    (open_to_all / "pkg").mkdir(mode=0)
    user = os.geteuid()
    if user == 0:  # reads everything
        os.seteuid(NOBODY)
    try:
        notes = load(open_to_all).notes
    finally:
        os.seteuid(user)
    assert [str(note) for note in notes] == [
        "app.py: cannot be read: Permission denied",
        "pkg/: the folder cannot be read: Permission denied",
    ]


def test_files_with_variables_of_production_are_named_and_not_read(tmp_path: Path) -> None:
    put(tmp_path, "prod.env", "TOKEN=secret\n")
    found = load(tmp_path)
    assert (found.private, found.texts) == (("prod.env",), {})
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    ("paths", "is_project"),
    [
        (["pyproject.toml"], True),
        (["requirements.txt"], True),
        (["app.py"], True),
        (["pkg/app.py"], True),
        (["Procfile"], False),
        (["backend/pyproject.toml", "backend/app.py"], False),
        (["uv.lock", "backend/pyproject.toml"], True),
        ([], False),
    ],
)
def test_what_a_project_is(paths: list[str], is_project: bool) -> None:  # noqa: FBT001 - an example
    files = ProjectFiles("any", dict.fromkeys(paths, ""))
    assert files.is_project is is_project
    assert files.inner_projects == (["backend"] if "backend/pyproject.toml" in paths else [])

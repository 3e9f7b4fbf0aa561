"""The wheel of the project itself: built, or its files as they are."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from repositories import TIME, committed
from shipit.bundle.wheel import open_wheel
from shipit.errors import InputError, Place
from shipit.playbook.project import Project
from shipit.project import app_wheel, revision, source
from shipit.project.cache import Cache
from tiny_backend import write_project

if TYPE_CHECKING:
    from pathlib import Path


class Maker:
    """Makes the wheel of a project, with a cache, and keeps the notes."""

    def __init__(self, folder: Path) -> None:
        self.store = Cache(folder / "cache")
        self.notes: list[str] = []

    def __call__(self, folder: Path, **keys: object) -> Path:
        if not (folder / "uv.lock").exists():
            (folder / "uv.lock").write_text("version = 1\n")
        project = Project.model_construct(path=folder, **{**NO_KEYS, **keys})  # type: ignore[arg-type]
        found = source.read(folder, "site")
        at = revision.of(folder)
        return app_wheel.make(found, project, at, self.store, self.notes.append)


NO_KEYS = {"package": "", "extras": (), "groups": (), "include": (), "exclude": ()}


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    return Maker(tmp_path)


# --- packages


def test_a_build_that_makes_a_damaged_wheel_is_a_mistake(tmp_path: Path) -> None:
    (out := tmp_path / "out").mkdir()
    wheel = out / "fast-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("fast.py", "VALUE = 1\n" * 100)
        archive.writestr("fast-1.dist-info/WHEEL", "Wheel-Version: 1.0\n")
    content = wheel.read_bytes()
    at = content.index(b"fast.py") + len("fast.py")  # where its content begins
    wheel.write_bytes(content[:at] + b"\xff\xff" + content[at + 2 :])
    store, place = Cache(tmp_path / "cache"), Place("uv.lock", 1)
    with pytest.raises(InputError, match="the build made a broken one") as caught:
        app_wheel.normalized(out, tmp_path, store, "fast", place)
    assert caught.value.mistakes[0].code == "build-failed"


def test_a_package_is_built_once_and_again_when_a_file_changes(tmp_path: Path, make: Maker) -> None:
    project = write_project(tmp_path / "project", "billing")
    first = make(project)
    assert open_wheel(first).pin == "billing==1.0.0"
    assert make(project) == first
    assert make.notes == ["built billing-1.0.0-py3-none-any.whl"]
    (project / "billing.py").write_text("VERSION = 'new'\n")
    second = make(project)
    assert second != first
    with zipfile.ZipFile(second) as wheel:
        assert wheel.read("billing.py") == b"VERSION = 'new'\n"


def test_a_package_has_the_same_bytes_in_any_folder_at_any_time(tmp_path: Path) -> None:
    made = set()
    for name in ("one", "two"):
        maker = Maker(tmp_path / name)
        made.add(maker(write_project(tmp_path / name / name, "billing")).read_bytes())
    assert len(made) == 1


def test_what_is_behind_a_symlink_to_a_folder_is_not_known_so_it_is_built(
    tmp_path: Path, make: Maker
) -> None:
    project = write_project(tmp_path / "project", "billing")
    (project / "gone").symlink_to("nothing")
    assert make(project) == make(project)
    (project / "data").symlink_to(tmp_path)
    assert make(project) == make(project)
    assert make.notes == ["built billing-1.0.0-py3-none-any.whl"] * 3


def test_a_build_that_fails_shows_what_it_printed(tmp_path: Path, make: Maker) -> None:
    project = write_project(tmp_path / "project", "it-fails")
    with pytest.raises(InputError) as caught:
        make(project)
    (mistake,) = caught.value.mistakes
    assert mistake.code == "build-failed"
    assert "cannot build the wheel of it-fails" in mistake.what
    assert "this project cannot be built" in mistake.evidence
    assert mistake.hint.endswith(f"uv build {project}")
    assert not list(make.store.folder.glob("work-*"))


# --- trees


def tree(folder: Path) -> Path:
    (folder / "site").mkdir(parents=True)
    (folder / "manage.py").write_text("#!/usr/bin/env python\n")
    (folder / "manage.py").chmod(0o755)
    (folder / "site" / "__init__.py").write_text("")
    (folder / "uv.lock").write_text("version = 1\n")
    return folder


def test_a_tree_is_a_wheel_that_installs_its_files_and_its_path(
    tmp_path: Path, make: Maker
) -> None:
    project = tree(tmp_path / "project")
    commit = committed(project)
    wheel = make(project)
    assert open_wheel(wheel).version == f"2026.9.21.141320+g{commit[:9]}"
    assert str(TIME) == "1790000000"
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    python = str(venv / "bin" / "python")
    installing = ["uv", "pip", "install", "--offline", "--quiet", "--python", python, str(wheel)]
    subprocess.run([sys.executable, "-m", *installing], check=True)
    assert (venv / "app" / "manage.py").stat().st_mode & 0o777 == 0o755
    asked = "import site, manage; print(manage.__file__)"
    done = subprocess.run([python, "-c", asked], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == str(venv / "app" / "manage.py")


def test_a_tree_has_the_same_bytes_in_any_folder(tmp_path: Path) -> None:
    made = {Maker(tmp_path / name)(tree(tmp_path / name / name)).read_bytes() for name in "ab"}
    assert len(made) == 1


def test_what_git_does_not_track_is_named(tmp_path: Path, make: Maker) -> None:
    project = tree(tmp_path / "project")
    committed(project)
    for name in ("a", "b", "c", "d"):
        (project / name).write_text("")
    make(project, include=("d",))
    make(project)
    assert make.notes == [
        "not shipped, as git does not track them: a, b, c (`include:` ships them)",
        "not shipped, as git does not track them: a, b, c and 1 more (`include:` ships them)",
    ]


def test_a_tree_without_files_is_refused(tmp_path: Path, make: Maker) -> None:
    with pytest.raises(InputError, match="no files to ship"):
        make(tree(tmp_path / "project"), exclude=("*",))

"""A venv is compared with its wheels as installers read them: no false drift is reported."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import agent_builders
import wheelhouse
from shipit.agent.staging import venv
from shipit.agent.storage import blobs, drift, venv_drift
from shipit.agent.system import files
from shipit.agent.system.paths import Paths
from wheelhouse import Recipe, write_wheel

if TYPE_CHECKING:
    from collections.abc import Callable

INSTALLERS = pytest.mark.parametrize("installer", ["uv", "pip"])
VENDORED = "aaa/_vendor/dep-2.0.dist-info"
BOTH = {"shared/notes.txt": "of {}\n", "own_{}.py": "x = 1\n"}


class Place:
    """A venv made of an app and some wheels."""

    def __init__(self, folder: Path, installer: str, *wheels: Path) -> None:
        self.paths = Paths("demo", str(folder / "opt"), var=str(folder / "var"))
        tool = wheelhouse.installed_wheel(folder.parent / "installers", installer)
        app = write_wheel(folder / "wheels", Recipe("demoapp", files={"demoapp.py": "x = 1\n"}))
        bundle = agent_builders.Bundle(tool, app, wheels)
        agent_builders.receive(self.paths, bundle.all)
        blobs.verify(self.paths, map(agent_builders.artifact, bundle.all))
        self.manifest = agent_builders.manifest(self.paths, bundle)
        files.make_directory(self.paths.release(self.manifest.id).top)
        venv.make(self.paths, self.manifest)

    @property
    def venv(self) -> Path:
        return Path(self.paths.release(self.manifest.id).venv)

    @property
    def packages(self) -> Path:
        (found,) = self.venv.glob("lib/p*/site-packages")
        return found

    def drift(self) -> list[str]:
        found = drift.found(self.paths, self.manifest)
        return [each.what for each in found if each.path.startswith(f"{self.venv}/")]


def rewritten(wheel: Path, change: Callable[[list[str]], list[str]]) -> Path:
    """Write a wheel again with other lines in its RECORD."""
    with zipfile.ZipFile(wheel) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    record = next(name for name in contents if name.endswith("/RECORD"))
    contents[record] = "\n".join(change(contents[record].decode().splitlines())).encode()
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return wheel


@INSTALLERS
def test_what_a_wheel_vendors_is_no_drift(tmp_path: Path, installer: str) -> None:
    said = {
        f"{VENDORED}/RECORD": "dep.py,sha256=AAAA,1\n",
        f"{VENDORED}/INSTALLER": "uv\n",
        f"{VENDORED}/METADATA": "Metadata-Version: 2.1\nName: dep\nVersion: 2.0\n",
    }
    wheel = write_wheel(tmp_path, Recipe("tools", files={"tools.py": "x = 1\n", **said}))
    place = Place(tmp_path, installer, wheel)
    assert place.drift() == []
    (place.packages / f"{VENDORED}/METADATA").write_text("changed")
    (place.packages / "tools.py").write_text("y = 1\n")
    assert place.drift() == [
        f"{place.packages}/{VENDORED}/METADATA was changed",
        f"{place.packages}/tools.py was changed",
    ]


@INSTALLERS
def test_what_two_wheels_ship_is_as_either_has_it(tmp_path: Path, installer: str) -> None:
    wheels = [
        write_wheel(
            tmp_path,
            Recipe(
                name,
                files={path.format(name): text.format(name) for path, text in BOTH.items()},
                scripts={"demo": f"own_{name}:main"},
            ),
        )
        for name in ("first", "second")
    ]
    place = Place(tmp_path, installer, *wheels)
    assert place.drift() == []
    for name in ("first", "second"):
        (place.packages / "shared" / "notes.txt").write_text(f"of {name}\n")
        assert place.drift() == []
    (place.packages / "shared" / "notes.txt").write_text("of third\n")
    (place.venv / "bin" / "demo").write_text("#!/bin/sh\n")
    assert place.drift() == [
        f"{place.venv}/bin/demo was changed",
        f"{place.packages}/shared/notes.txt was changed",
    ]


def without_sizes(lines: list[str]) -> list[str]:
    return [line.rpartition(",")[0] + "," for line in lines]


def without_dep(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.startswith("dep.py")]


def with_a_wrong_digest(lines: list[str]) -> list[str]:
    return [*without_dep(lines), "dep.py,sha256=AAAA,6"]


def with_another_algorithm(lines: list[str]) -> list[str]:
    digest = hashlib.sha512(b"x = 1\n").digest()
    return [*without_dep(lines), f"dep.py,sha512={base64.urlsafe_b64encode(digest).decode()},6"]


@pytest.mark.parametrize(
    "change",
    [
        without_sizes,
        without_dep,
        with_a_wrong_digest,
        with_another_algorithm,
    ],
)
def test_a_wheel_whose_list_is_poor_is_compared_by_its_bytes(
    tmp_path: Path, change: Callable[[list[str]], list[str]]
) -> None:
    wheel = write_wheel(tmp_path, Recipe("dep", files={"dep.py": "x = 1\n"}))
    place = Place(tmp_path, "uv", rewritten(wheel, change))
    assert place.drift() == []
    (place.packages / "dep.py").write_text("y = 1\n")
    assert place.drift() == [f"{place.packages}/dep.py was changed"]
    (place.packages / "dep.py").unlink()
    assert place.drift() == [f"{place.packages}/dep.py is missing"]


def test_folders_that_a_wheel_puts_beside_site_packages_do_not_hide_it(tmp_path: Path) -> None:
    data = {"dep-1.0.0.data/data/lib/cmake/site-packages/dep.cmake": "x\n"}
    place = Place(tmp_path, "uv", write_wheel(tmp_path, Recipe("dep", files=data)))
    assert place.drift() == []
    (place.packages / "demoapp.py").write_text("y = 1\n")
    assert place.drift() == [f"{place.packages}/demoapp.py was changed"]


@pytest.mark.index
@INSTALLERS
def test_wheels_as_the_index_has_them_have_no_drift(tmp_path: Path, installer: str) -> None:
    names = ["setuptools", "fastapi-cli", "fastapi", "argcomplete", "jupyter-core"]
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    subprocess.run([*download, "--only-binary=:all:", "-d", tmp_path, *names], check=True)
    place = Place(tmp_path, installer, *sorted(tmp_path.glob("*.whl")))
    assert place.drift() == []


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [*lines, f"dep.py,{'x' * 200_000},1"],
        lambda lines: [*lines, "dep\0.py,,"],
        lambda lines: [*lines, "x" * (venv_drift.RECORD_LIMIT + 1)],
    ],
    ids=["an endless field", "a NUL", "a list of gigabytes, packed small"],
)
def test_a_list_that_is_none_is_no_bug_of_ours(
    tmp_path: Path, change: Callable[[list[str]], list[str]]
) -> None:
    wheel = write_wheel(tmp_path, Recipe("dep", files={"dep.py": "x = 1\n"}))
    item = agent_builders.artifact(rewritten(wheel, change))
    paths = Paths("demo", str(tmp_path / "opt"), var=str(tmp_path / "var"))
    agent_builders.receive(paths, [wheel])
    blobs.verify(paths, [item])
    shipped = venv_drift._shipped(paths, item)
    assert shipped is not None
    assert "dep.py" in shipped


def test_a_link_in_site_packages_and_another_interpreter_are_drift(tmp_path: Path) -> None:
    place = Place(tmp_path, "pip")
    assert place.drift() == []
    (place.packages / "json").symlink_to("/usr/lib")
    python = place.venv / "bin" / "python"
    python.unlink()
    python.symlink_to("/bin/true")
    assert [each.code for each in venv_drift.found(place.paths, place.manifest)] == [
        "interpreter-changed",
        "file-added",
    ]
    python.unlink()
    assert next(venv_drift.found(place.paths, place.manifest)).code == "interpreter-gone"

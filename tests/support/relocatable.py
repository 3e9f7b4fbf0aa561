"""Make the archive of a relocatable Python from the system's one.

It has the layout and the name of those of python-build-standalone, whose files cannot be fetched
here: a folder `python` with bin/, lib/ and the header that states the version.
"""

from __future__ import annotations

import io
import json
import os
import platform
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_builders import SYSTEM_PYTHON
from wheelhouse import sha256

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_ASKED = """
import platform, sys, sysconfig
print(platform.python_version(), sysconfig.get_path('stdlib'), 'python%d.%d' % sys.version_info[:2])
"""
VERSION, _STDLIB, SHORT = subprocess.run(
    [SYSTEM_PYTHON, "-I", "-c", _ASKED], capture_output=True, text=True, check=True
).stdout.split()
NAME = f"cpython-{VERSION}+20300101-{platform.machine()}-unknown-linux-gnu-install_only.tar.gz"
PROGRAM = f"bin/{SHORT}"
_CACHED = f"colorsys.cpython-{SHORT.removeprefix('python').replace('.', '')}.pyc"
_PUBLISHED = "https://github.com/astral-sh/python-build-standalone/releases/download/20300101/"
_NEVER = {"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3", "__pycache__"}
_NEVER |= {"ensurepip", "tkinter", "turtledemo", "idle_test", "pydoc_data"}
# Without these it still starts and says what it is.
_RARE = {"asyncio", "unittest", "email", "xml", "multiprocessing", "distutils", "http", "sqlite3"}
_RARE |= {"ctypes", "curses", "dbm", "wsgiref", "xmlrpc", "html", "urllib", "concurrent", "logging"}


def write(
    folder: Path,
    *,
    name: str = NAME,
    is_whole: bool = False,
    mark: str = "",
    bytecode: bytes = b"",
) -> Path:
    """Write the archive into a folder; return its path.

    Args:
        folder: made if it is missing.
        name: of the file.
        is_whole: whether it has what an app needs, such as http and asyncio.
        mark: makes an archive with another digest.
        bytecode: of a module, if there is any.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for source, inside in _files(_NEVER if is_whole else _NEVER | _RARE):
            archive.add(source, f"python/{inside}", recursive=False, filter=_plain)
        _link(archive, "python/bin/python3", SHORT)
        header = f'#define PY_VERSION "{VERSION}"\n'
        add(archive, f"python/include/{SHORT}/patchlevel.h", header.encode())
        add(archive, "python/BUILD", mark.encode())
        if bytecode:
            add(archive, f"python/lib/{SHORT}/__pycache__/{_CACHED}", bytecode)
    return path


def add(
    archive: tarfile.TarFile, name: str, content: bytes = b"", mode: int = 0o644, **more: object
) -> None:
    """Add one entry to an archive; `more` are other fields of its header."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = len(content), mode, 1_700_000_000
    for field, value in more.items():
        setattr(entry, field, value)
    archive.addfile(entry, io.BytesIO(content))


def mirror(folder: Path, archive: Path, **changes: object) -> dict[str, str]:
    """Return the environment in which uv fetches this archive, from a folder named 20300101.

    Its list also has a newer one for another processor, and a pre-release.
    """
    major, minor, patch = VERSION.split(".")
    build: dict[str, Any] = {
        "name": "cpython",
        "arch": {"family": platform.machine(), "variant": None},
        "os": "linux",
        "libc": "gnu",
        "major": int(major),
        "minor": int(minor),
        "patch": int(patch),
        "prerelease": "",
        "url": _PUBLISHED + archive.name.replace("+", "%2B"),
        "sha256": sha256(archive),
        "variant": None,
        "build": "20300101",
        **changes,
    }
    key = f"cpython-{{}}-linux-{platform.machine()}-gnu"
    builds = {
        key.format(VERSION): build,
        key.format("3.99.0rc1"): {**build, "minor": 99, "prerelease": "rc1"},
        "cpython-3.98.0-linux-riscv64-gnu": {
            **build,
            "arch": {"family": "riscv64", "variant": None},
            "minor": 98,
        },
    }
    (folder / "pythons.json").write_text(json.dumps(builds))
    return {
        "UV_PYTHON_DOWNLOADS_JSON_URL": (folder / "pythons.json").as_uri(),
        "UV_PYTHON_INSTALL_MIRROR": archive.parents[1].as_uri(),
    }


def _files(left_out: Iterable[str]) -> Iterator[tuple[Path, str]]:
    yield Path(os.path.realpath(SYSTEM_PYTHON)), PROGRAM
    for folder, folders, files in os.walk(_STDLIB):
        folders[:] = sorted(set(folders) - {*left_out, *_configs(folders)})
        for source in (Path(folder, name) for name in sorted(files)):
            if not source.is_symlink():  # to what an administrator may change
                yield source, f"lib/{SHORT}/{source.relative_to(_STDLIB)}"


def _configs(folders: Iterable[str]) -> set[str]:
    return {each for each in folders if each.startswith("config-")}


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid, entry.gid, entry.uname, entry.gname = 1000, 1000, "builder", "builder"
    return entry


def _link(archive: tarfile.TarFile, name: str, target: str) -> None:
    add(archive, name, type=tarfile.SYMTYPE, linkname=target)

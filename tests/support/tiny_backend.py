"""A build system without dependencies, for projects of tests: PEP 517 in a few lines.

A project copies this file and names it in its pyproject.toml; no index is asked for anything.
The order, dates and modes of entries are those of a careless backend.
"""

from __future__ import annotations

import os
import platform
import sys
import tarfile
import time
import tomllib
import zipfile
from pathlib import Path
from typing import Any

PYPROJECT = """\
[build-system]
requires = []
build-backend = "tiny_backend"
backend-path = ["."]

[project]
name = "{name}"
version = "{version}"
dependencies = {requires}
"""
# A project with this file has compiled parts: for Linux where there is the library that they need,
# elsewhere for another system.
COMPILED, LIBRARY = "compiled.py", Path("/usr/local/lib/tiny-native")


def write_project(folder: Path, name: str, version: str = "1.0.0", *requires: str) -> Path:
    """Write a project with one module of the project's name."""
    folder.mkdir(parents=True, exist_ok=True)
    text = PYPROJECT.format(name=name, version=version, requires=list(requires))
    (folder / "pyproject.toml").write_text(text)
    (folder / "tiny_backend.py").write_text(Path(__file__).read_text())
    (folder / f"{name.replace('-', '_')}.py").write_text(f"VERSION = {version!r}\n")
    return folder


def _project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    return found


def build_sdist(folder: str, _settings: object = None) -> str:
    project = _project()
    stem = f"{project['name'].replace('-', '_')}-{project['version']}"
    with tarfile.open(Path(folder) / f"{stem}.tar.gz", "w:gz") as archive:
        for path in sorted(Path().glob("*.py")):
            archive.add(path, f"{stem}/{path}")
        archive.add("pyproject.toml", f"{stem}/pyproject.toml")
    return f"{stem}.tar.gz"


def build_wheel(folder: str, _settings: object = None, _metadata: object = None) -> str:
    project = _project()
    module = project["name"].replace("-", "_")
    info = f"{module}-{project['version']}.dist-info"
    if "fails" in project["name"]:
        raise SystemExit("this project cannot be built")
    lines = ["Metadata-Version: 2.1", f"Name: {project['name']}", f"Version: {project['version']}"]
    lines += [f"Requires-Dist: {each}" for each in project.get("dependencies", ())]
    kind = _tag()
    tag = f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {kind}\n"
    files = {
        f"{info}/WHEEL": tag,
        f"{info}/METADATA": "\n".join([*lines, ""]),
        f"{module}.py": Path(f"{module}.py").read_text(),
    }
    if Path(COMPILED).exists():
        files[f"{module}_native.py"] = f"BUILT_BY, IN = {os.geteuid()}, {str(Path.cwd())!r}\n"
    names = list(files) if time.time_ns() % 2 else [*reversed(files)]
    name = f"{info.removesuffix('.dist-info')}-{kind}.whl"
    with zipfile.ZipFile(Path(folder) / name, "w") as archive:
        for each in names:
            entry = zipfile.ZipInfo(each, time.localtime()[:6])
            entry.external_attr = (0o100600 | os.getpid() % 8) << 16
            archive.writestr(entry, files[each])
        archive.writestr(f"{info}/RECORD", "".join(f"{each},,\n" for each in names))
    return name


def _tag() -> str:
    if not Path(COMPILED).exists():
        return "py3-none-any"
    python = "cp{}{}".format(*sys.version_info)
    system = f"linux_{platform.machine()}" if LIBRARY.exists() else "macosx_11_0_arm64"
    return f"{python}-{python}-{system}"

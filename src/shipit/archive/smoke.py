"""Try a bundle before it is written: install it on this machine and import what it starts.

Only where a target's Python and platform are this machine's, too.
"""

from __future__ import annotations

import platform
import tarfile
from typing import TYPE_CHECKING

from shipit.archive.manifest import target_of
from shipit.errors import Place
from shipit.project import programs
from shipit.project.programs import Program

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from shipit.bundle import select
    from shipit.bundle.interpreter import Interpreter
    from shipit.bundle.target import Target
    from shipit.project.cache import Cache

IMPORT = 120.0  # seconds
# Imports the module of every program that the app installs.
_IMPORT = """
import sys
from importlib.metadata import distribution
for point in distribution(sys.argv[1]).entry_points:
    if point.group in ("console_scripts", "gui_scripts"):
        point.load()
"""
_FORMAT = "{}.{}"  # of a version that uv looks for
_HINT = "run it in a fresh venv to see the whole error: does the lock lack a dependency?"


def check(chosen: Mapping[str, select.Bundle], store: Cache, note: Callable[[str], None]) -> None:
    """Install the first bundle that fits this machine into a fresh venv, and import its programs.

    Raises:
        InputError: it cannot be installed or imported (import-failed).
    """
    for name, bundle in chosen.items():
        if is_here(target := target_of(name)) and _check(bundle, target, store):
            note(f"tried on this machine, as on {name}: installed, its programs imported")
            return
    note("not tried: no target has this machine's platform and one of its Pythons")


def is_here(target: Target) -> bool:
    """Whether wheels for a target run on this machine, if it has the Python."""
    libc, number = platform.libc_ver()
    here = tuple(int(part) for part in number.split(".")[:2] if part.isdecimal())
    is_same = (target.machine, target.libc[0]) == (platform.machine(), libc)
    return platform.system() == "Linux" and is_same and target.libc[1:] <= here


def _check(bundle: select.Bundle, target: Target, store: Cache) -> bool:
    """Try a bundle; return False if this machine has no such Python."""
    with store.workspace() as work:
        venv, place = work / "venv", Place(str(bundle.app.path.name))
        python = _unpacked(bundle.python, work) if bundle.python else _FORMAT.format(*target.python)
        making = [*programs.uv(), "venv", "--no-config", "--no-python-downloads", "--quiet"]
        making += ["--python", python, str(venv)]
        program = Program("make a venv", making, work, programs.BUILD)
        if bundle.python:
            program.checked("import-failed", place, "does its Python run on this machine?")
        elif program.attempt()[0] != 0:
            return False
        wheels = [str(wheel.path) for wheel in (bundle.app, *bundle.wheels)]
        installing = [*programs.uv(), "pip", "install", "--no-config", "--offline", "--no-deps"]
        installing += ["--no-index", "--quiet", "--python", str(venv / "bin" / "python"), *wheels]
        what = "install the bundle's wheels into a fresh venv"
        Program(what, installing, work, programs.BUILD).checked("import-failed", place, _HINT)
        importing = [str(venv / "bin" / "python"), "-I", "-c", _IMPORT, bundle.app.name]
        what = f"import the programs of {bundle.app.name} in a fresh venv"
        Program(what, importing, work, IMPORT).checked("import-failed", place, _HINT)
    return True


def _unpacked(python: Interpreter, work: Path) -> str:
    """Unpack the Python that comes with a bundle; return the path of its program."""
    with tarfile.open(python.path) as archive:
        # Its names and links were checked when it was read; older Pythons have no filter.
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
        archive.extractall(work / "python")  # noqa: S202 - see above
    (program,) = (work / "python").glob(f"*/{python.program}")
    return str(program)

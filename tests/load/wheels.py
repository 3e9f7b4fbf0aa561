"""The wheels of what is deployed under load: the app in any version, and the servers it runs on."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import tempfile
from pathlib import Path

from packaging.markers import Marker

import wheelhouse

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
LOCK = HERE / "requirements.lock"
SERVERS = PROJECT / "build/load/wheels"
USUAL = "3.11"  # the Python of the usual host
MARKER = re.compile(r" ; ([^\\\n]+)(?= \\$)", re.MULTILINE)
STAMP = SERVERS / ".filled"  # with the lock that it was filled from


def loadapp_wheel(folder: Path, version: str, fault: str = "") -> Path:
    """Write a wheel of app/loadapp.py; `fault` as its docstring says."""
    files = {"loadapp.py": (HERE / "app/loadapp.py").read_text()}
    if fault:
        files["loadapp.json"] = json.dumps({"fault": fault})
    recipe = wheelhouse.Recipe("loadapp", version, requires=("gunicorn", "uvicorn"), files=files)
    return wheelhouse.write_wheel(folder, recipe)


def provide(folder: Path, python: str = USUAL) -> None:
    """Put every locked wheel into a folder: from here if `fill` was at work, or from the index."""
    if _is_filled() and python == USUAL:
        for wheel in SERVERS.glob("*.whl"):
            shutil.copy(wheel, folder)
    else:
        _fetch(folder, python)


def fill() -> None:
    """Fetch every locked wheel once for all; best not as root, whose files stay in the way."""
    if not _is_filled():
        SERVERS.mkdir(parents=True, exist_ok=True)
        _fetch(SERVERS)
        STAMP.write_text(LOCK.read_text())


def _is_filled() -> bool:
    return STAMP.exists() and STAMP.read_text() == LOCK.read_text()


def _fetch(folder: Path, python: str = USUAL) -> None:
    prepare = runpy.run_path(str(PROJECT / "playbooks/demo/prepare.py"))
    order = prepare["parse"](["--wheels", str(folder), "--python", python])
    with tempfile.NamedTemporaryFile("w", suffix=".lock") as lock:
        lock.write(for_python(LOCK.read_text(), python))
        lock.flush()
        prepare["download"](order, "--require-hashes", "-r", lock.name)


def for_python(lock: str, python: str) -> str:
    """Return the entries of a lock that are meant for a Python, without their markers.

    Pip would judge those by the Python that it runs on.
    """
    major, minor, *_ = python.split(".")
    environment = {"python_version": f"{major}.{minor}", "python_full_version": python}
    entries = re.split(r"^(?=\S)", lock, flags=re.MULTILINE)
    return "".join(MARKER.sub("", entry) for entry in entries if _is_meant(entry, environment))


def _is_meant(entry: str, environment: dict[str, str]) -> bool:
    marker = MARKER.search(entry)
    return not marker or Marker(marker[1]).evaluate(environment)


if __name__ == "__main__":
    fill()

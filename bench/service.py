"""The service that every tool deploys: a FastAPI app with its locked wheels."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import wheelhouse

HERE = Path(__file__).parent
LOCK = HERE / "service.lock"
NAME, PORT = "benchapp", 8000
FETCHING = 900.0  # seconds
TARGET = ("--platform", "manylinux_2_17_x86_64", "--platform", "manylinux_2_28_x86_64")
APP = """\
import os
from fastapi import FastAPI

VERSION = "{version}"
app = FastAPI()
{fault}

@app.get("/healthz")
def healthz():
    return {{"version": VERSION}}
"""


@dataclass(frozen=True)
class Wheels:
    """What is shipped.

    Attributes:
        folder: the dependencies and uv.
        archive: the same in one tar, for tools that are better at one large file.
        lock: requirements with hashes.
        apps: the app's wheel, by its version.
    """

    folder: Path
    archive: Path
    lock: Path
    apps: dict[str, Path]

    @property
    def layer(self) -> str:
        """A name for this set of dependencies."""
        return hashlib.sha256(self.lock.read_bytes()).hexdigest()[:12]


def fetch(folder: Path) -> Path:
    """Download the locked wheels once; return their folder."""
    wheels, done = folder / "wheels", folder / "wheels.lock"
    if not done.exists() or done.read_bytes() != LOCK.read_bytes():
        shutil.rmtree(wheels, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:"]
        options = ["--no-deps", "--python-version", "3.11", *TARGET, "--dest", str(wheels)]
        subprocess.run([*pip, *options, "--requirement", str(LOCK)], check=True, timeout=FETCHING)
        done.write_bytes(LOCK.read_bytes())
    return wheels


def prepared(folder: Path, versions: dict[str, str]) -> Wheels:
    """Write the app's wheels, and pack the dependencies.

    Args:
        folder: for what is made; the fetched wheels stay there.
        versions: each with a line of Python that breaks it, or "".
    """
    wheels = fetch(folder)
    archive = folder / "wheels.tar"
    if not archive.exists():
        with tarfile.open(archive, "w") as packed:
            packed.add(wheels, "wheels")
    apps = {}
    for version, fault in versions.items():
        files = {f"{NAME}.py": APP.format(version=version, fault=fault)}
        recipe = wheelhouse.Recipe(NAME, version, requires=("fastapi", "uvicorn"), files=files)
        apps[version] = wheelhouse.write_wheel(folder / "apps", recipe)
    return Wheels(wheels, archive, LOCK, apps)


def unit(release: str) -> str:
    """Return the unit of the service that runs from a release's folder, for all tools."""
    return f"""\
[Unit]
Description={NAME}
After=network.target

[Service]
User={NAME}
WorkingDirectory={release}
ExecStart={release}/venv/bin/uvicorn {NAME}:app --host 127.0.0.1 --port {PORT}
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""

"""What tests fetch once for all of them: wheels, and programs of Debian that are not installed."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from shipit.lab.commands import LabError, call, held
from shipit.lab.image import CACHE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STORE = CACHE / "recipes"
FETCHING = 600.0  # seconds
UNPACK = (
    'cd "$0" && apt-get download -qq "$@" && '
    "for package in *.deb; do dpkg-deb -x $package . && rm $package; done"
)


def stored(name: str, fetch: Callable[[Path], None]) -> Path:
    """Return a folder that lasts, filled whole by whoever comes first."""
    folder = STORE / name
    STORE.mkdir(parents=True, exist_ok=True)
    with held(STORE / "lock", timeout=FETCHING):
        if not folder.exists():
            unfinished = folder.with_suffix(".part")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            fetch(unfinished)
            unfinished.rename(folder)
    return folder


def unpacked(name: str, packages: str) -> Path:
    """Return a folder with the files of these packages; skip where apt has none, but not in CI."""

    def fetch(folder: Path) -> None:
        try:
            call("sh", "-c", UNPACK, str(folder), *packages.split(), timeout=FETCHING)
        except LabError as error:
            if "CI" in os.environ:
                raise
            pytest.skip(f"no {name} by apt: {error}")

    return stored(name, fetch)

"""Write a lock and read it, for the tests of their formats."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shipit.bundle import lockfile
from shipit.bundle.lock import MAIN
from shipit.errors import InputError, Mistake
from wheelhouse import BOOKWORM

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.bundle.lock import Lock, Parts

A, B = "a" * 64, "b" * 64
REQUIREMENTS = "requirements.lock"


def locked(folder: Path, text: str, name: str = REQUIREMENTS, parts: Parts = MAIN) -> Lock:
    path = folder / name
    path.write_text(text, newline="")
    return lockfile.read(path, parts)


def mistakes(folder: Path, text: str, name: str = REQUIREMENTS) -> list[Mistake]:
    with pytest.raises(InputError) as caught:
        locked(folder, text, name)
    return list(caught.value.mistakes)


def only(folder: Path, text: str, name: str = REQUIREMENTS) -> Mistake:
    (mistake,) = mistakes(folder, text, name)
    return mistake


def wanted(lock: Lock, app: str = "app", **markers: str) -> list[str]:
    """Return what a Debian 12 needs, or a host with these markers."""
    environment = BOOKWORM.markers()
    environment.update(markers)  # type: ignore[typeddict-item] # only known markers are given
    return [entry.pin for entry in lock.wanted(app, environment)]

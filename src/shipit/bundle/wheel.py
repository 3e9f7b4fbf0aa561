"""Read one wheel: what it is, what it asks for, and its sha256.

Promises that name and contents belong together. Installs nothing and never holds a wheel in memory.
"""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.metadata import parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from shipit.errors import InputError, Mistake, Place

if TYPE_CHECKING:
    from pathlib import Path

    from packaging.tags import Tag


@dataclass(frozen=True)
class Wheel:
    """A wheel on this machine; name and version are normalized, the size is in bytes."""

    name: str
    version: str
    filename: str
    path: Path
    sha256: str
    size: int
    tags: frozenset[Tag]
    requires_python: SpecifierSet
    requires: tuple[Requirement, ...]

    @property
    def pin(self) -> str:
        return f"{self.name}=={self.version}"


class _BrokenWheelError(Exception):
    """A zip whose contents are not those of the wheel that its name promises."""


def open_wheel(path: Path) -> Wheel:
    """Read a wheel and hash it, streaming.

    Raises:
        InputError: it is missing, not a wheel, or not the wheel that its name promises.
    """
    place = Place(str(path))
    if not path.is_file():
        hint = "build it: python -m build --wheel"
        raise InputError(Mistake("missing-wheel", "there is no such wheel", place, hint))
    try:
        name, version, _, tags = parse_wheel_filename(path.name)
        python, requires = _metadata(path)
    except (InvalidWheelFilename, _BrokenWheelError, zipfile.BadZipFile) as error:
        hint = (
            "expected NAME-VERSION-PYTHON-ABI-PLATFORM.whl, as `python -m build --wheel` makes it"
        )
        raise InputError(Mistake("not-a-wheel", f"not a wheel: {error}", place, hint)) from error
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    size = path.stat().st_size
    return Wheel(name, str(version), path.name, path, digest, size, tags, python, requires)


def _metadata(path: Path) -> tuple[SpecifierSet, tuple[Requirement, ...]]:
    """Read what a wheel asks for, and make sure that it is the wheel that its name says."""
    name, version, _, _ = parse_wheel_filename(path.name)
    with zipfile.ZipFile(path) as archive:
        found = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        if len(found) != 1 or found[0].count("/") != 1:
            raise _BrokenWheelError("it has no METADATA")
        raw, _ = parse_email(archive.read(found[0]))
    is_for = (canonicalize_name(raw.get("name", "")), raw.get("version", ""))
    try:
        if is_for[0] != name or Version(is_for[1]) != version:
            raise _BrokenWheelError("its METADATA is that of {} {}".format(*is_for))
        requires = tuple(Requirement(text) for text in raw.get("requires_dist", ()))
        return SpecifierSet(raw.get("requires_python", "")), requires
    except (InvalidRequirement, InvalidSpecifier, ValueError) as error:
        raise _BrokenWheelError(f"its METADATA is broken: {error}") from error


def is_older(version: str, than: str) -> bool:
    """Whether a version comes before another one by PEP 440; nothing is said of what isn't one."""
    try:
        return Version(version) < Version(than)
    except InvalidVersion:
        return False

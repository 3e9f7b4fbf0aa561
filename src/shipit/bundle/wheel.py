"""Read one wheel: its metadata and its sha256.

Checks that name and contents match. Installs nothing and never holds a wheel in memory.
"""

from __future__ import annotations

import csv
import hashlib
import lzma
import re
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from packaging.metadata import parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from shipit.bundle.wheel_layout import Entry, landing, objection, programs
from shipit.errors import InputError, Mistake, Place

if TYPE_CHECKING:
    from collections.abc import Iterator
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
    build: tuple[()] | tuple[int, str] = ()  # PEP 427: of equal files the higher one is newer
    programs: frozenset[str] = frozenset()  # that it installs into a venv's bin/

    @property
    def pin(self) -> str:
        return f"{self.name}=={self.version}"


class Blob(Protocol):
    """A file by its digest, such as a wheel; the size is in bytes."""

    @property
    def sha256(self) -> str: ...
    @property
    def path(self) -> Path: ...
    @property
    def size(self) -> int: ...


# What zipfile raises for a damaged file, besides its own error.
DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, KeyError),
    *(RuntimeError, ValueError, OverflowError),
)


class _BrokenWheelError(Exception):
    """A zip whose contents don't match its file name."""


def open_wheel(path: Path, sha256: str = "") -> Wheel:
    """Read a wheel, and hash it, streaming.

    Args:
        path: the file.
        sha256: its digest, if that has just been verified.

    Raises:
        InputError: it is missing, not a wheel, does not match its name, or is unsafe to unpack.
    """
    place = Place(str(path))
    if not path.is_file():
        hint = "build it: python -m build --wheel"
        raise InputError(Mistake("missing-wheel", "there is no such wheel", place, hint))
    with _opened(path) as archive:
        name, version, build, tags = parse_wheel_filename(path.name)
        info = _info_folder(archive)
        brings = _checked_programs(archive, info, path)
        python, requires = _metadata(archive.read(f"{info}/METADATA"), name, version)
    if not sha256:
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    file = (path.name, path, sha256, path.stat().st_size)
    return Wheel(name, str(version), *file, tags, python, requires, build, brings)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a wheel.

    Raises:
        InputError: it is none, or what is read of it is damaged (not-a-wheel).
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (InvalidWheelFilename, _BrokenWheelError, *DAMAGED) as error:
        what = f"not a wheel: {str(error) or type(error).__name__}"
        hint = (
            "expected NAME-VERSION-PYTHON-ABI-PLATFORM.whl, as `python -m build --wheel` makes it"
        )
        raise InputError(Mistake("not-a-wheel", what, Place(str(path)), hint)) from error


def _metadata(
    text: bytes, name: str, version: Version
) -> tuple[SpecifierSet, tuple[Requirement, ...]]:
    """Return what a wheel requires; check that its METADATA match its name."""
    raw, _ = parse_email(text)
    is_for = (canonicalize_name(raw.get("name", "")), raw.get("version", ""))
    try:
        if is_for[0] != name or Version(is_for[1]) != version:
            raise _BrokenWheelError("its METADATA is that of {} {}".format(*is_for))
        requires = tuple(Requirement(text) for text in raw.get("requires_dist", ()))
        return SpecifierSet(raw.get("requires_python", "")), requires
    except (InvalidRequirement, InvalidSpecifier, ValueError) as error:
        raise _BrokenWheelError(f"its METADATA is broken: {error}") from error


def _info_folder(archive: zipfile.ZipFile) -> str:
    """Return the name of a wheel's own .dist-info folder.

    Only the top level counts: vendored distributions have theirs further down.
    """
    tops = {name.partition("/")[0] for name in archive.namelist()}
    found = sorted(top for top in tops if top.endswith(".dist-info"))
    if len(found) > 1:
        raise _BrokenWheelError(f"it is several distributions: {', '.join(found)}")
    if not found or f"{found[0]}/METADATA" not in archive.namelist():
        raise _BrokenWheelError("it has no METADATA")
    return found[0]


def _checked_programs(archive: zipfile.ZipFile, info: str, path: Path) -> frozenset[str]:
    """Return the programs that a wheel installs into bin/, after checking all its entries."""
    points = f"{info}/entry_points.txt"
    text = archive.read(points).decode(errors="replace") if points in archive.namelist() else ""
    entries = (Entry(each.filename, each.external_attr >> 16) for each in archive.infolist())
    if wrong := objection(entries, text):
        what = f"{path.name} is unsafe to install: {wrong}"
        hint = "build it without that; if it is not yours, find out who made it before you use it"
        raise InputError(Mistake("unsafe-wheel", what, Place(str(path)), hint))
    return programs(archive.namelist(), text)


def record(path: Path) -> dict[str, str]:
    """Return the files that a wheel installs, each with its digest as in RECORD.

    Raises:
        InputError: it is damaged (not-a-wheel).
    """
    with _opened(path) as archive:
        text = archive.read(f"{_info_folder(archive)}/RECORD").decode()
    rows = csv.reader(text.splitlines())
    return {row[0]: row[1] for row in rows if len(row) > 1 and row[1]}


def files_of(path: Path) -> dict[str, str]:
    """Return the files of a wheel by where they land in a venv, without its own metadata."""
    info = re.compile(r"[^/]+\.dist-info/")
    found = record(path).items()
    return {landing(name): digest for name, digest in found if not info.match(name)}


def is_older(version: str, than: str) -> bool:
    """Whether a version is older than another by PEP 440; False if either is not a version.

    The local part (after `+`) says how something was built, not when: it does not count.
    """
    try:
        return Version(Version(version).public) < Version(Version(than).public)
    except InvalidVersion:
        return False

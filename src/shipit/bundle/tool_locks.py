"""Read the locks of Poetry, PDM and Pipenv, where they are exact.

An older lock of Poetry, and one of PDM without inherited metadata, does not record which packages
the app needs on which machines: these are rejected with the command that exports them.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from packaging.markers import Marker
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from shipit.bundle.lock import Lock, Locked, Origin
from shipit.bundle.lock_text import file, folder, place_of, repository, sha256_of, text_of
from shipit.errors import InputError, Mistake, Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

POETRY = "poetry export -f requirements.txt -o requirements.lock"
PDM = "pdm export -f requirements -o requirements.lock"
PIPENV = "pipenv requirements --hash > requirements.lock"
_POETRY_SINCE = (2, 1)  # the lock's version: since then each package has groups and markers


def read_poetry(path: Path, document: Mapping[str, Any], places: list[Place]) -> Lock:
    """Return the main group of a poetry.lock of Poetry 2 or later."""
    with _export_if_not_understood(path, POETRY):
        if Version(document["metadata"]["lock-version"]).release < _POETRY_SINCE:
            why = "a lock of Poetry 1 does not say which packages the app itself needs"
            raise _export(path, why, POETRY)
        packages = _packages_of("main", document, places, path)
        entries = tuple(_poetry_entry(package, place) for package, place in packages)
        # Poetry's `^3.11` is in pyproject.toml alone: the lock may have `*` or a specifier.
        python = _specifier(document["metadata"].get("python-versions", "*"))
    return Lock(path, entries, python)


def _packages_of(
    group: str, document: Mapping[str, Any], places: list[Place], path: Path
) -> Iterator[tuple[Mapping[str, Any], Place]]:
    """Yield the packages of a group of a lock, each with its place."""
    for index, package in enumerate(document.get("package", ())):
        if group in package["groups"]:
            yield package, place_of(places, index, path)


def _poetry_entry(package: Mapping[str, Any], place: Place) -> Locked:
    markers, source = package.get("markers"), package.get("source", {})
    marker = markers.get("main") if isinstance(markers, dict) else markers
    origin, kind = None, source.get("type")
    if kind == "directory":
        origin = folder(source["url"])
    elif kind == "git":
        commit = source["resolved_reference"]
        origin = repository(package["name"], kind, source["url"], commit)
    elif kind in ("file", "url"):
        origin = file(source["url"])
    return _entry(package, place, marker, origin)


def read_pdm(path: Path, document: Mapping[str, Any], places: list[Place]) -> Lock:
    """Return the default group of a pdm.lock of PDM 2.11 or later."""
    with _export_if_not_understood(path, PDM):
        if "inherit_metadata" not in document["metadata"].get("strategy", ()):
            why = "this lock does not say which packages the app itself needs"
            raise _export(path, why, PDM)
        packages = _packages_of("default", document, places, path)
        entries = tuple(_pdm_entry(package, place) for package, place in packages)
        targets = document["metadata"].get("targets", ())
        pythons = [_specifier(target.get("requires_python", "*")) for target in targets]
    return Lock(path, entries, pythons[0] if len(pythons) == 1 else SpecifierSet())


def _pdm_entry(package: Mapping[str, Any], place: Place) -> Locked:
    origin = None
    if "git" in package:
        origin = repository(package["name"], "git", package["git"], package["revision"])
    elif "url" in package:
        origin = file(package["url"])
    elif "path" in package:
        path = str(package["path"])
        origin = file(path) if path.endswith((".whl", ".gz", ".zip")) else folder(path)
    return _entry(package, place, package.get("marker"), origin)


def read_pipenv(path: Path) -> Lock:
    """Return the default section of a Pipfile.lock."""
    with _export_if_not_understood(path, PIPENV):
        document = json.loads(text_of(path))
        entries = tuple(
            _pipenv_entry(name, package, Place(str(path)))
            for name, package in document["default"].items()
        )
    return Lock(path, entries)


def _pipenv_entry(name: str, package: Mapping[str, Any], place: Place) -> Locked:
    origin = None
    if "git" in package:
        origin = repository(name, "git", package["git"], package["ref"])
    elif "path" in package:
        origin = folder(package["path"])
    elif "file" in package:
        origin = file(package["file"])
    marker = package.get("markers")
    return Locked(
        canonicalize_name(name),
        str(Version(package["version"].removeprefix("=="))) if "version" in package else "",
        sha256_of(package.get("hashes", ())),
        place,
        Marker(marker) if marker else None,
        origin=origin,
    )


def _entry(
    package: Mapping[str, Any], place: Place, marker: str | None, origin: Origin | None
) -> Locked:
    """Return an entry from its files and hashes, as Poetry and PDM write them."""

    def is_wheel(file: Mapping[str, str]) -> bool:
        name = file.get("file") or file["url"].partition("#")[0]  # PDM may write a URL instead
        return name.endswith(".whl")

    files = package.get("files", ())
    return Locked(
        canonicalize_name(package["name"]),
        str(Version(package["version"])),
        sha256_of(each.get("hash") for each in files if is_wheel(each)),
        place,
        Marker(marker) if marker else None,
        sources=sha256_of(each.get("hash") for each in files if not is_wheel(each)),
        origin=origin,
    )


def _specifier(text: str) -> SpecifierSet:
    """Return a specifier; any Python, for a syntax of the tool (*, ^3.11, >=3.9 || <4)."""
    try:
        return SpecifierSet(text)
    except InvalidSpecifier:
        return SpecifierSet()


@contextmanager
def _export_if_not_understood(path: Path, command: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        why = f"the lock is not understood ({type(error).__name__}: {error})"
        raise _export(path, why, command) from error


def _export(path: Path, why: str, command: str) -> InputError:
    return InputError(Mistake("foreign-lock", why, Place(str(path)), f"export it: {command}"))

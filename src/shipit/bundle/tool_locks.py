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

from shipit.bundle.lock import MAIN, Lock, Locked, Origin, Parts, unknown_part
from shipit.bundle.lock_text import file, folder, place_of, repository, sha256_of, text_of
from shipit.errors import InputError, Mistake, Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

POETRY = "poetry export -f requirements.txt -o requirements.lock"
PDM = "pdm export -f requirements -o requirements.lock"
PIPENV = "pipenv requirements --hash > requirements.lock"
_POETRY_SINCE = (2, 1)  # the lock's version: since then each package has groups and markers


def read_poetry(
    path: Path, document: Mapping[str, Any], places: list[Place], parts: Parts = MAIN
) -> Lock:
    """Return the main group, and those wanted, of a poetry.lock of Poetry 2 or later."""
    _check_extras(parts, document.get("extras", {}), path)
    with _export_if_not_understood(path, POETRY):
        if Version(document["metadata"]["lock-version"]).release < _POETRY_SINCE:
            why = "a lock of Poetry 1 does not say which packages the app itself needs"
            raise _export(path, why, POETRY)
        packages = _packages_of("main", document, places, path, parts)
        entries = tuple(
            entry
            for package, place, groups in packages
            for entry in _poetry_entries(package, place, groups)
        )
        # Poetry's `^3.11` is in pyproject.toml alone: the lock may have `*` or a specifier.
        python = _specifier(document["metadata"].get("python-versions", "*"))
    return Lock(path, entries, python, parts=parts)


def _check_extras(parts: Parts, known: Mapping[str, Any], path: Path) -> None:
    for extra in parts.extras:
        if extra not in known:
            raise unknown_part("extra", extra, known, path)


def _packages_of(
    main: str, document: Mapping[str, Any], places: list[Place], path: Path, parts: Parts
) -> Iterator[tuple[Mapping[str, Any], Place, list[str]]]:
    """Yield the packages of the wanted groups, each with its place and these groups.

    Raises:
        InputError: no package is in one of the groups.
    """
    packages = document.get("package", ())
    known = {group for package in packages for group in package["groups"]}
    for group in parts.groups:
        if group not in known:
            raise unknown_part("group", group, known, path)
    for index, package in enumerate(packages):
        if groups := [each for each in (main, *parts.groups) if each in package["groups"]]:
            yield package, place_of(places, index, path), groups


def _poetry_entries(
    package: Mapping[str, Any], place: Place, groups: Sequence[str]
) -> Iterator[Locked]:
    """Yield a package for each different marker that the groups have for it."""
    markers, origin = package.get("markers"), _poetry_origin(package)
    of_groups = [markers.get(group) for group in groups] if isinstance(markers, dict) else [markers]
    for marker in dict.fromkeys(of_groups):
        yield _entry(package, place, marker, origin)


def _poetry_origin(package: Mapping[str, Any]) -> Origin | None:
    source = package.get("source", {})
    origin, kind = None, source.get("type")
    if kind == "directory":
        origin = folder(source["url"])
    elif kind == "git":
        commit = source["resolved_reference"]
        origin = repository(package["name"], kind, source["url"], commit)
    elif kind in ("file", "url"):
        origin = file(source["url"])
    return origin


def read_pdm(
    path: Path, document: Mapping[str, Any], places: list[Place], parts: Parts = MAIN
) -> Lock:
    """Return the default group, and those wanted, of a pdm.lock of PDM 2.11 or later.

    PDM locks an extra of the project as a group of that name.
    """
    parts = Parts(groups=(*parts.groups, *parts.extras))
    with _export_if_not_understood(path, PDM):
        if "inherit_metadata" not in document["metadata"].get("strategy", ()):
            why = "this lock does not say which packages the app itself needs"
            raise _export(path, why, PDM)
        packages = _packages_of("default", document, places, path, parts)
        entries = tuple(_pdm_entry(package, place) for package, place, _ in packages)
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


def read_pipenv(path: Path, parts: Parts = MAIN) -> Lock:
    """Return the default section, and the wanted categories, of a Pipfile.lock."""
    _check_extras(parts, {}, path)
    with _export_if_not_understood(path, PIPENV):
        document = json.loads(text_of(path))
        for group in parts.groups:
            if group not in document:
                raise unknown_part("group", group, set(document) - {"_meta"}, path)
        sections = [document[section] for section in ("default", *parts.groups)]
        entries = tuple(
            _pipenv_entry(name, package, Place(str(path)))
            for section in sections
            for name, package in section.items()
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

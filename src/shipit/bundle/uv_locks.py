"""Read the two locks that uv writes: pylock.toml (PEP 751) and uv.lock, a graph."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from packaging.markers import Marker
from packaging.pylock import Package, Pylock, PylockValidationError
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from shipit.bundle.lock import MAIN, Lock, Locked, Need, Origin, Parts, how_to_lock, unknown_part
from shipit.bundle.lock_text import file, folder, place_of, repository, sha256_of
from shipit.errors import InputError, Mistake, Place, collect

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


def read_pylock(
    path: Path, document: Mapping[str, Any], places: list[Place], parts: Parts = MAIN
) -> Lock:
    try:
        lock = Pylock.from_dict(document)
    except PylockValidationError as error:
        at = re.match(r"packages\[(\d+)\]", error.context or "")
        place = place_of(places, int(at[1]), path) if at else Place(str(path))
        raise InputError(
            Mistake("lock-syntax", f"not a valid pylock.toml: {error}", place)
        ) from error
    known = (("extra", lock.extras, parts.extras), ("group", lock.dependency_groups, parts.groups))
    for kind, names, chosen in known:
        if unknown := set(chosen) - set(names or ()):
            raise unknown_part(kind, min(unknown), names or (), path)
    packages = [(each, place_of(places, n, path)) for n, each in enumerate(lock.packages)]
    entries = collect(lambda placed: _pylock_entry(*placed), packages)
    return Lock(
        path,
        tuple(entries),
        lock.requires_python or SpecifierSet(),
        frozenset(lock.default_groups or ()),
        tuple(lock.environments or ()),
        parts=parts,
    )


def _pylock_entry(package: Package, place: Place) -> Locked:
    wheels = package.wheels or ()
    digests = {wheel.hashes["sha256"] for wheel in wheels if "sha256" in wheel.hashes}
    if wheels and not digests:
        what = f"{package.name} has no sha256 hash"
        raise InputError(Mistake("no-hash", what, place, how_to_lock(place.file)))
    sdists = [each.hashes for each in (package.sdist, package.archive) if each is not None]
    sources = {hashes["sha256"].lower() for hashes in sdists if "sha256" in hashes}
    origin = _pylock_origin(package)
    if package.archive is not None and origin is not None and origin.is_wheel:
        digests, sources = sources, set()
    return Locked(
        package.name,
        str(package.version or ""),
        frozenset(digest.lower() for digest in digests),
        place,
        package.marker,
        sources=frozenset(sources),
        origin=origin,
    )


def _pylock_origin(package: Package) -> Origin | None:
    if package.directory is not None:
        return folder(package.directory.path)
    if package.vcs is not None:
        vcs = package.vcs
        return repository(package.name, vcs.type, vcs.url or vcs.path or "", vcs.commit_id)
    if package.archive is not None:
        return file(package.archive.url or package.archive.path or "")
    return None


def read_uv(
    path: Path, document: Mapping[str, Any], places: list[Place], parts: Parts = MAIN
) -> Lock:
    try:
        entries = tuple(
            _uv_entry(package, place_of(places, index, path))
            for index, package in enumerate(document["package"])
        )
        python = SpecifierSet(document.get("requires-python", ""))
        environments = tuple(Marker(text) for text in document.get("supported-markers", ()))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        what = f"this uv.lock is not understood ({type(error).__name__}: {error})"
        raise InputError(
            Mistake("lock-syntax", what, Place(str(path)), "run: uv lock, or: uv export")
        ) from error
    return Lock(path, entries, python, environments=environments, is_graph=True, parts=parts)


def _uv_entry(package: Mapping[str, Any], place: Place) -> Locked:
    name, source = canonicalize_name(package["name"]), package.get("source", {})
    sdist = package.get("sdist", {})
    return Locked(
        name,
        str(package.get("version", "")),
        sha256_of(wheel.get("hash") for wheel in package.get("wheels", ())),
        place,
        needs=_uv_needs(package.get("dependencies", ())),
        extra_needs=_uv_parts(package, "optional-dependencies"),
        group_needs=_uv_parts(package, "dev-dependencies"),
        sources=sha256_of([sdist.get("hash")]),
        origin=_uv_origin(name, source),
        source=_uv_source(source),
    )


def _uv_origin(name: str, source: Mapping[str, str]) -> Origin | None:
    for kind in ("editable", "directory", "virtual"):
        if kind in source:
            what = f"the folder {source[kind]}"
            get = f"uv build --wheel --package {name} -o {{}}"
            return Origin(what, get, source[kind], is_tree=True)
    if "git" in source:
        url, _, commit = source["git"].partition("#")
        url, _, query = url.partition("?")
        return repository(name, "git", url, commit, dict(parse_qsl(query)).get("subdirectory", ""))
    return file(source.get("url") or source["path"]) if {"url", "path"} & set(source) else None


def _uv_source(source: Mapping[str, str]) -> str:
    """Return what distinguishes entries of one name and version, for example their index."""
    return " ".join(f"{kind} {where}" for kind, where in sorted(source.items()))


def _uv_parts(package: Mapping[str, Any], kind: str) -> dict[str, tuple[Need, ...]]:
    """Return what each extra or group of a package needs, by its normalized name."""
    found = package.get(kind, {})
    return {canonicalize_name(name): _uv_needs(needs) for name, needs in found.items()}


def _uv_needs(needs: Iterable[Mapping[str, Any]]) -> tuple[Need, ...]:
    return tuple(
        Need(
            canonicalize_name(need["name"]),
            str(need.get("version", "")),
            tuple(canonicalize_name(extra) for extra in need.get("extra", ())),
            Marker(need["marker"]) if "marker" in need else None,
            _uv_source(need.get("source", {})),
        )
        for need in needs
    )

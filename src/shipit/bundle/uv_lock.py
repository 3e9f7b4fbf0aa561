"""Read uv.lock, a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from packaging.markers import Marker
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from shipit.bundle.lock import MAIN, Lock, Locked, Need, Origin, Parts
from shipit.bundle.lock_text import file, place_of, repository, sha256_of
from shipit.errors import InputError, Mistake, Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


def read(path: Path, document: Mapping[str, Any], places: list[Place], parts: Parts = MAIN) -> Lock:
    try:
        entries = tuple(
            _entry(package, place_of(places, index, path))
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


def _entry(package: Mapping[str, Any], place: Place) -> Locked:
    name, source = canonicalize_name(package["name"]), package.get("source", {})
    sdist = package.get("sdist", {})
    return Locked(
        name,
        str(package.get("version", "")),
        sha256_of(wheel.get("hash") for wheel in package.get("wheels", ())),
        place,
        needs=_needs(package.get("dependencies", ())),
        extra_needs=_parts(package, "optional-dependencies"),
        group_needs=_parts(package, "dev-dependencies"),
        sources=sha256_of([sdist.get("hash")]),
        origin=_origin(name, source),
        source=_source(source),
        urls={
            digest: str(wheel["url"])
            for wheel in package.get("wheels", ())
            if "url" in wheel
            for digest in sha256_of([wheel.get("hash")])
        },
    )


def _origin(name: str, source: Mapping[str, str]) -> Origin | None:
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


def _source(source: Mapping[str, str]) -> str:
    """Return what distinguishes entries of one name and version, for example their index."""
    return " ".join(f"{kind} {where}" for kind, where in sorted(source.items()))


def _parts(package: Mapping[str, Any], kind: str) -> dict[str, tuple[Need, ...]]:
    """Return what each extra or group of a package needs, by its normalized name."""
    found = package.get(kind, {})
    return {canonicalize_name(name): _needs(needs) for name, needs in found.items()}


def _needs(needs: Iterable[Mapping[str, Any]]) -> tuple[Need, ...]:
    return tuple(
        Need(
            canonicalize_name(need["name"]),
            str(need.get("version", "")),
            tuple(canonicalize_name(extra) for extra in need.get("extra", ())),
            Marker(need["marker"]) if "marker" in need else None,
            _source(need.get("source", {})),
        )
        for need in needs
    )

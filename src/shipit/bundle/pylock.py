"""Read pylock.toml (PEP 751)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from packaging.pylock import Package, Pylock, PylockValidationError
from packaging.specifiers import SpecifierSet

from shipit.bundle.lock import MAIN, Lock, Locked, Origin, Parts, how_to_lock, unknown_part
from shipit.bundle.lock_text import file, folder, place_of, repository
from shipit.errors import InputError, Mistake, Place, collect

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def read(path: Path, document: Mapping[str, Any], places: list[Place], parts: Parts = MAIN) -> Lock:
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
    entries = collect(lambda placed: _entry(*placed), packages)
    return Lock(
        path,
        tuple(entries),
        lock.requires_python or SpecifierSet(),
        frozenset(lock.default_groups or ()),
        tuple(lock.environments or ()),
        parts=parts,
    )


def _entry(package: Package, place: Place) -> Locked:
    wheels = package.wheels or ()
    digests = {wheel.hashes["sha256"] for wheel in wheels if "sha256" in wheel.hashes}
    if wheels and not digests:
        what = f"{package.name} has no sha256 hash"
        raise InputError(Mistake("no-hash", what, place, how_to_lock(place.file)))
    sdists = [each.hashes for each in (package.sdist, package.archive) if each is not None]
    sources = {hashes["sha256"].lower() for hashes in sdists if "sha256" in hashes}
    origin = _origin(package)
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
        urls={
            wheel.hashes["sha256"].lower(): wheel.url
            for wheel in wheels
            if wheel.url and "sha256" in wheel.hashes
        },
    )


def _origin(package: Package) -> Origin | None:
    if package.directory is not None:
        return folder(package.directory.path)
    if package.vcs is not None:
        vcs = package.vcs
        return repository(package.name, vcs.type, vcs.url or vcs.path or "", vcs.commit_id)
    if package.archive is not None:
        return file(package.archive.url or package.archive.path or "")
    return None

"""What differs between two bundles: packages, the app's files, revisions. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.utils import parse_wheel_filename

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from shipit.archive.manifest import Artifact, Manifest


@dataclass(frozen=True)
class Change:
    """A difference; one side is empty where something was added or removed."""

    kind: str  # package, file, target, revision ...
    name: str
    before: str
    after: str


def changes(
    old: Manifest, new: Manifest, old_files: Mapping[str, str], new_files: Mapping[str, str]
) -> list[Change]:
    """Return what differs.

    Args:
        old: of the bundle before.
        new: of the bundle after.
        old_files: the files of its app, each with a digest.
        new_files: the same of the bundle after.
    """
    return [
        *_of("app", {old.name: old.version}, {new.name: new.version}),
        *_of("revision", {"": revision(old)}, {"": revision(new)}),
        *_of("target", _targets(old), _targets(new)),
        *_of("python", _pythons(old), _pythons(new)),
        *_of("package", _packages(old), _packages(new)),
        *_rebuilt(old, new),
        *_of("env", _variables(old), _variables(new)),
        *_of("file", old_files, new_files),
    ]


def revision(manifest: Manifest) -> str:
    """Return the revision of a bundle's source, for people."""
    known = manifest.revision or manifest.commit or "none"
    return f"{known}, with changes" if manifest.is_dirty else known


def _of(kind: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            yield Change(kind, name, before.get(name, ""), after.get(name, ""))


def _rebuilt(old: Manifest, new: Manifest) -> Iterator[Change]:
    """Yield the wheels of the same name that have other contents; the app's files are compared."""
    before, after = _wheels(old), _wheels(new)
    both = {name: before[name] for name in before if name in after}
    yield from _of("wheel", both, {name: after[name] for name in both})


def _wheels(manifest: Manifest) -> dict[str, str]:
    others = (each for each in manifest.artifacts.values() if each.sha256 != manifest.app)
    return {each.filename: f"sha256:{each.sha256}" for each in others}


def _targets(manifest: Manifest) -> dict[str, str]:
    return {each.target: each.target for each in manifest.targets}


def _pythons(manifest: Manifest) -> dict[str, str]:
    """Return the version of the Python that comes with each target."""
    named = {each.target: each.python for each in manifest.targets if each.python}
    return {target: manifest.artifacts[sha256].python for target, sha256 in named.items()}


def _variables(manifest: Manifest) -> dict[str, str]:
    """Return the variables of each service, without a value."""
    return {f"{name} {key}": key for name, keys in manifest.env.items() for key in keys}


def _packages(manifest: Manifest) -> dict[str, str]:
    """Return the versions of each dependency."""
    installers = {each.installer for each in manifest.targets}
    wanted = {sha256 for each in manifest.targets for sha256 in each.wheels} | installers
    found: dict[str, set[str]] = {}
    for sha256 in wanted:
        name, version = name_and_version(manifest.artifacts[sha256])
        found.setdefault(name, set()).add(version)
    return {name: " and ".join(sorted(versions)) for name, versions in found.items()}


def name_and_version(artifact: Artifact) -> tuple[str, str]:
    """Return the normalized name and version of a wheel, or of a Python."""
    if artifact.python:
        return "python", artifact.python
    name, version, _, _ = parse_wheel_filename(artifact.filename)
    return name, str(version)

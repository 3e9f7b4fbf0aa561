"""Which packages a bundle has, and which run on hosts. Pure.

The app itself is left out: it is the user's own, and no business of an advisory database.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from shipit.archive.compare import name_and_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from shipit.agent.protocol.manifest import Manifest as Release
    from shipit.archive.manifest import Manifest as Bundle

Wanted = Requirement  # a package and its versions; ValueError where a text is none


@dataclass(frozen=True, order=True)
class Package:
    """One version of a package; the name is normalized."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def of_bundle(made: Bundle) -> dict[Package, tuple[str, ...]]:
    """Return the packages of a bundle, each with the targets that get it."""
    return _grouped(
        (Package(*name_and_version(made.artifacts[sha256])), each.target)
        for each in made.targets
        for sha256 in (*each.wheels, each.installer)
    )


def of_hosts(running: Iterable[tuple[str, Release]]) -> dict[Package, tuple[str, ...]]:
    """Return the packages of the releases that run on hosts, each with its hosts."""
    return _grouped(
        (Package(canonicalize_name(wheel.name), wheel.version), host)
        for host, release in running
        for wheel in (*release.wheels, release.installer_wheel)
    )


def _grouped(found: Iterable[tuple[Package, str]]) -> dict[Package, tuple[str, ...]]:
    places: dict[Package, dict[str, None]] = {}
    for package, place in found:
        places.setdefault(package, {})[place] = None
    return {package: tuple(places[package]) for package in sorted(places)}


def matching(packages: Iterable[Package], wanted: Wanted) -> Iterator[Package]:
    """Yield the packages of that name whose version is in the requirement, pre-releases too."""
    for package in packages:
        is_named = package.name == canonicalize_name(wanted.name)
        if is_named and wanted.specifier.contains(package.version, prereleases=True):
            yield package


def without_duplicates(packages: Iterable[Package]) -> list[list[Package]]:
    """Split packages into lists in which no name occurs twice: requirements have one version."""
    lists: list[dict[str, Package]] = []
    for package in packages:
        free = next((each for each in lists if package.name not in each), None)
        if free is None:
            lists.append(free := {})
        free[package.name] = package
    return [[*each.values()] for each in lists]

"""Read the parts of a release that are on this machine, for a check that needs no secret.

In a fresh checkout, as in CI, the app's wheel, the wheelhouse and env files are often missing:
what is there is checked as a deploy checks it, and `missing` names the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shipit.bundle import lockfile, select
from shipit.bundle.lock import Parts
from shipit.bundle.wheel import open_wheel
from shipit.errors import ErrorCollector
from shipit.project import source
from shipit.release.inputs import PLACEHOLDER, Readers, env_files
from shipit.release.sources import load as load_sources
from shipit.render import dotenv_file
from shipit.secrets import Secret

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from shipit.bundle.select import Sources
    from shipit.release.inputs import HostInput
    from shipit.release.sources import Named
    from shipit.render.units import Values
    from shipit.secrets import SecretUrl


def readers() -> Readers:
    """Return readers that leave out what is missing, and have a placeholder for every secret."""
    return Readers(wheels=_sources, secret=_placeholder, dotenv=_variables)


def missing(found: Sequence[HostInput]) -> Iterator[Path]:
    """Yield the files and folders of a deployment that are not there, each once."""
    deployments = [target.deployment for target in found]
    own = (each.path for it in deployments for each in (it.project, it.bundle) if each)
    projects = list(filter(None, own))
    named = (path for it in deployments for path in (it.wheel, it.lock, it.wheelhouse))
    pythons = [each.path for it in deployments for each in it.python.archives]
    wheels = [*projects, *filter(None, named), *pythons]
    files = sorted(file.path for file in env_files(found))
    yield from (path for path in dict.fromkeys([*wheels, *files]) if not _found(path).exists())


def elsewhere(found: Sequence[HostInput]) -> Iterator[SecretUrl]:
    """Yield the bundles at URLs, each once: they are not fetched."""
    bundles = (target.deployment.bundle for target in found)
    yield from dict.fromkeys(each.url for each in bundles if each and each.url)


def _sources(named: Named) -> Sources | None:
    """Return the wheels to choose from; None if a part is missing: the others are checked alone.

    Of a project nothing is built or fetched: what it is and its lock are checked.
    """
    if named.bundle and named.bundle.path and named.bundle.path.exists():
        return load_sources(named)
    if (project := named.project) and project.path.is_dir():
        found = source.read(project.path, named.app, project.package, named.lock)
        lockfile.read(found.lock, Parts(project.extras, project.groups))
    if named.bundle or project:
        return None
    app = _present(named.wheel and _found(named.wheel))
    locked, stock = _present(named.lock), _present(named.wheelhouse)
    if app and locked and stock:
        return select.load(app, locked, stock)
    errors = ErrorCollector()
    if app:
        errors.attempt(open_wheel, app)
    if locked:
        errors.attempt(lockfile.read, locked)
    errors.result(())
    return None


def _present(path: Path | None) -> Path | None:
    return path if path and path.exists() else None


def _found(wheel: Path) -> Path:
    """Return the one file that a pattern matches; otherwise the path as it is written."""
    matches = [] if wheel.exists() else [*wheel.parent.glob(wheel.name)]
    return matches[0] if len(matches) == 1 else wheel


def _placeholder(*_reference: object) -> Secret:
    return Secret(PLACEHOLDER.id)


def _variables(path: Path, public: Collection[str]) -> Values:
    return dotenv_file.read(path, public) if path.exists() else {}

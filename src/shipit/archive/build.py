"""Make a bundle from a project, for the kinds of hosts that are asked for."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from shipit import __version__
from shipit.archive import file, sbom
from shipit.archive.manifest import Artifact, ForTarget, Manifest
from shipit.errors import InputError, Mistake, Place
from shipit.project.cache import sha256_of
from shipit.project.programs import without_credentials

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from shipit.bundle import select
    from shipit.bundle.interpreter import Interpreter
    from shipit.bundle.lock import Lock
    from shipit.bundle.wheel import Wheel
    from shipit.project.sources import ProjectSources


def write(
    folder: Path,
    sources: ProjectSources,
    chosen: Mapping[str, select.Bundle],
    env: Mapping[str, tuple[str, ...]] | None = None,
) -> Path:
    """Write the bundle of a project into a folder, under its usual name; return its path.

    Args:
        folder: made if it is missing.
        sources: the project.
        chosen: the wheels, and the Python if it comes with them, for each target, by its name.
        env: the names of each service's variables.

    Raises:
        InputError: it cannot be written (bundle-unwritable).
    """
    made = manifest(sources, chosen, env)
    files = {wheel.sha256: wheel.path for each in chosen.values() for wheel in each.all()}
    files |= {python.sha256: python.path for python in _pythons(chosen)}
    path = folder / made.filename
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file.write(path, made, sbom.text_of(made, sources.fetcher.at.time), files)
    except OSError as error:
        what = f"the bundle cannot be written: {error.strerror}"
        hint = "free some space, or name a folder that you can write to: --out"
        raise InputError(Mistake("bundle-unwritable", what, Place(str(path)), hint)) from error
    return path


def manifest(
    sources: ProjectSources,
    chosen: Mapping[str, select.Bundle],
    env: Mapping[str, tuple[str, ...]] | None = None,
) -> Manifest:
    """Return what the bundle of a project contains."""
    app = _app(chosen)
    all_wheels = {wheel.sha256: wheel for each in chosen.values() for wheel in each.all()}
    artifacts = {
        sha256: Artifact(
            wheel.filename,
            sha256,
            wheel.size,
            source="" if sha256 == app else _source(wheel, sources.lock),
        )
        for sha256, wheel in all_wheels.items()
    }
    artifacts |= {
        each.sha256: Artifact(each.filename, each.sha256, each.size, each.version)
        for each in _pythons(chosen)
    }
    at = sources.fetcher.at
    return Manifest(
        name=sources.app.name,
        version=sources.app.version,
        folder=sources.folder,
        app=app,
        artifacts=dict(sorted(artifacts.items())),
        targets=tuple(_for_target(name, each) for name, each in sorted(chosen.items())),
        commit=at.commit,
        revision=at.name,
        is_dirty=at.is_dirty,
        lock=sources.lock.path.name,
        lock_sha256=sha256_of(sources.lock.path),
        built_with={"shipit": __version__, "uv": version("uv"), "pip": version("pip")},
        env=dict(env or {}),
    )


def _source(wheel: Wheel, lock: Lock) -> str:
    """Return what a wheel was built from; "" if the lock has the wheel itself, or no such package.

    The wheel of a repository or a folder is in no lock: that has a commit, or nothing.
    """
    for entry in lock.entries:
        if entry.is_for(wheel.name, wheel.version) and wheel.sha256 not in entry.digests:
            if entry.origin and entry.is_own:
                return without_credentials(entry.origin.source)
            return " ".join(f"sha256:{digest}" for digest in sorted(entry.sources))
    return ""


def _for_target(name: str, chosen: select.Bundle) -> ForTarget:
    wheels = tuple(wheel.sha256 for wheel in chosen.wheels)
    python = chosen.python.sha256 if chosen.python else ""
    return ForTarget(name, wheels, chosen.installer.sha256, python)


def _pythons(chosen: Mapping[str, select.Bundle]) -> list[Interpreter]:
    """Return the Pythons that come with the wheels, each once."""
    return [*{each.python.sha256: each.python for each in chosen.values() if each.python}.values()]


def _app(chosen: Mapping[str, select.Bundle]) -> str:
    """Return the sha256 of the app's own wheel, which is the same for all targets.

    Raises:
        InputError: it has compiled parts, so that each target has its own (several-apps).
    """
    apps = {each.app.sha256: each.app.filename for each in chosen.values()}
    if len(apps) > 1:
        wheels = ", ".join(apps.values())
        what = f"the app's wheel differs between the targets ({wheels}); a bundle can hold only one"
        raise InputError(Mistake("several-apps", what, None, "build a bundle for each: --target"))
    return next(iter(apps))

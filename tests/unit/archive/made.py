"""A small project and its bundle, for the tests of bundles."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from shipit.archive import build
from shipit.archive.manifest import name_of
from shipit.playbook.project import Project
from shipit.project.sources import load
from tiny_backend import write_project
from wheelhouse import BOOKWORM, Recipe, write_lock, write_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.bundle.target import Target
    from shipit.project.sources import ProjectSources

ARM = replace(BOOKWORM, machine="aarch64")
TAG = "cp311-cp311-manylinux_2_17_{}"


def project(folder: Path, version: str = "1.0.0") -> ProjectSources:
    """Write a project with a wheelhouse, and load it; the cache is that of the environment."""
    written = write_project(folder / "project", "billing", version)
    wheels = folder / "wheels"
    write_wheel(wheels, Recipe("pip", "24.0"))
    fast = [Recipe("fast", tag=TAG.format(machine)) for machine in ("x86_64", "aarch64")]
    needed = [write_wheel(wheels, each) for each in (Recipe("alpha"), *fast)]
    write_lock(written / "requirements.lock", needed)
    model = Project.model_construct(
        path=written, package="", extras=(), groups=(), include=(), exclude=()
    )
    return load(model, "billing", None, wheels)


def bundle(folder: Path, *targets: Target, version: str = "1.0.0") -> Path:
    """Write the bundle of such a project."""
    sources = project(folder, version)
    chosen = {name_of(target): sources.select(target, "pip") for target in targets or (BOOKWORM,)}
    return build.write(folder / "dist", sources, chosen)

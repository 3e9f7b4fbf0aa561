"""The wheels of a release, and its Python, that come from a bundle."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from shipit.archive import file
from shipit.archive.manifest import best_for, with_python
from shipit.bundle import select
from shipit.errors import InputError, Mistake, Place, collect
from shipit.project.cache import Cache, default_folder, open_kept
from shipit.project.interpreters import opened

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shipit.agent.protocol.manifest import Signed
    from shipit.archive.file import Bundle
    from shipit.bundle.interpreter import Interpreter, Libc
    from shipit.bundle.target import Target
    from shipit.bundle.wheel import Wheel
    from shipit.bundle.wheelhouse import Installer


@dataclass(frozen=True)
class BundleSources:
    """The wheels of a bundle, by their sha256."""

    bundle: Bundle
    wheels: Mapping[str, Wheel]

    @property
    def interpreters(self) -> BundleInterpreters:
        return BundleInterpreters(self.bundle)

    @property
    def app(self) -> Wheel:
        return self.wheels[self.bundle.manifest.app]

    @cached_property
    def offsets(self) -> Mapping[str, int]:
        """Where each wheel begins in the bundle's file, by its sha256."""
        return file.offsets(self.bundle)

    @property
    def signed(self) -> Signed | None:
        return self.bundle.signed

    @property
    def folder(self) -> str:
        return self.bundle.manifest.folder

    def digests(self) -> tuple[str, ...]:
        """Return the sha256 of every wheel in the bundle."""
        return tuple(self.wheels)

    def programs(self) -> frozenset[str]:
        """Return the programs that the app and all its dependencies install into a venv."""
        made = self.bundle.manifest
        wanted = {made.app, *(sha256 for each in made.targets for sha256 in each.wheels)}
        return frozenset().union(*(self.wheels[sha256].programs for sha256 in wanted))

    def select(self, target: Target, installer: Installer | None = None) -> select.Bundle:
        """Return what was built for this kind of host.

        Raises:
            InputError: the bundle is not for it (bundle-misfit), or has another installer.
        """
        made, place = self.bundle.manifest, Place(self.bundle.name)
        if not (chosen := best_for(made, target)):
            targets = ", ".join(each.target for each in made.targets)
            what = f"the bundle is for {targets}; the host has {target}"
            hint = "build it for this kind of host as well: shipit build --target, once for each"
            raise InputError(Mistake("bundle-misfit", what, place, hint))
        tool = self.wheels[chosen.installer]
        if installer and tool.name != installer:
            what = f"the bundle has {tool.name} to make the venv; the playbook wants {installer}"
            hint = "remove `installer:`, or build the bundle with it"
            raise InputError(Mistake("missing-installer", what, place, hint))
        return select.Bundle(self.app, tuple(self.wheels[each] for each in chosen.wheels), tool)


@dataclass(frozen=True)
class BundleInterpreters:
    """The Pythons of a bundle."""

    bundle: Bundle

    def digests(self) -> tuple[str, ...]:
        return tuple(each.python for each in self.bundle.manifest.targets if each.python)

    def best(self, machine: str, libc: Libc, python: tuple[int, int] | None = None) -> Interpreter:
        """Return the newest for a kind of host.

        Raises:
            InputError: none comes with the bundle (bundle-misfit), or it is none that can be used.
        """
        if found := with_python(self.bundle.manifest, machine, libc, python):
            store = Cache(default_folder(os.environ))
            return opened(self.bundle.wheels[found.python], found.python, store)
        name, major, minor = libc
        what = f"no Python for {machine} with {name} {major}.{minor} comes with the bundle"
        hint = "build it with `python: {source: bundle}`, for this kind of host as well"
        raise InputError(Mistake("bundle-misfit", what, Place(self.bundle.name), hint))


def load(bundle: Bundle) -> BundleSources:
    """Open the wheels of a bundle.

    Raises:
        InputError: one of them is not a wheel, or unsafe to unpack.
    """
    artifacts = bundle.manifest.artifacts
    paths = [path for sha256, path in bundle.wheels.items() if not artifacts[sha256].python]
    wheels = collect(open_kept, paths)
    return BundleSources(bundle, {wheel.sha256: wheel for wheel in wheels})

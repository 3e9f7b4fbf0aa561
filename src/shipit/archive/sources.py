"""The wheels of a release that come from a bundle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shipit.archive.manifest import best_for
from shipit.bundle import select
from shipit.errors import InputError, Mistake, Place, collect
from shipit.project.cache import open_kept

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shipit.agent.protocol.manifest import Signed
    from shipit.archive.file import Bundle
    from shipit.bundle.target import Target
    from shipit.bundle.wheel import Wheel
    from shipit.bundle.wheelhouse import Installer


@dataclass(frozen=True)
class BundleSources:
    """The wheels of a bundle, by their sha256."""

    bundle: Bundle
    wheels: Mapping[str, Wheel]

    @property
    def app(self) -> Wheel:
        return self.wheels[self.bundle.manifest.app]

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


def load(bundle: Bundle) -> BundleSources:
    """Open the wheels of a bundle.

    Raises:
        InputError: one of them is not a wheel, or unsafe to unpack.
    """
    wheels = collect(open_kept, [*bundle.wheels.values()])
    return BundleSources(bundle, {wheel.sha256: wheel for wheel in wheels})

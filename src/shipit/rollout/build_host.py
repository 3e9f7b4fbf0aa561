"""The host that builds wheels for others of its kind: `--builder HOST`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shipit.events import Noted, SecretsKnown
from shipit.inventory.model import Host
from shipit.release.inputs import inventory_of
from shipit.render import units
from shipit.secrets import Mask
from shipit.transport import remote_build
from shipit.transport.endpoint import endpoint
from shipit.transport.ssh.client import Network

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.events import Emit
    from shipit.project.building.orders import Built, Order
    from shipit.release.inputs import RunOptions
    from shipit.transport.endpoint import Endpoint


@dataclass(frozen=True)
class BuildHost:
    """A host of the inventory, or one that ~/.ssh/config knows. Implements `builder.Builder`."""

    run: RunOptions
    emit: Emit

    @property
    def name(self) -> str:
        return self.run.builder

    def build(self, order: Order, folder: Path) -> Built:
        """Build a wheel there; connects for each: few wheels have to be built, and seldom.

        Raises:
            InputError: why it cannot; names the host and the step.
        """
        self.emit(Noted(f"building {order.what} on {self.name}"))
        with Network(note=lambda text: self.emit(Noted(text))) as network:
            return remote_build.build(self._endpoint(), network, order, folder)

    def _endpoint(self) -> Endpoint:
        known = inventory_of(self.run)
        found = (host for host in (*known.implicit, *known.hosts) if host.name == self.name)
        host = next(found, Host(self.name, (), {}))
        variables = self.run.extra_vars
        made = endpoint(host, render=lambda written: units.value(written, host, variables))
        self.emit(SecretsKnown(Mask(filter(None, [made.password]))))
        return made

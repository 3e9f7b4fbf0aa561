"""Playbooks that differ in what may change of a service, rendered as a deploy renders them.

Each has a worker that never changes, and at most one service more: `web` or `api`, as one of KINDS.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import yaml

from shipit.inventory.model import Host
from shipit.playbook import reader
from shipit.render import units
from shipit.render.release_names import ReleaseNames

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from shipit.render.units import ReleaseTexts

ROOT = "/opt/app"
PORT = 8000
WORKER = {"command": "worker"}
JOB = {"command": "report", "timer": "*-01-01 03:00:00"}
# Overlapping ones can't listen by themselves to one port: they share a socket, or have none.
_ALONE: dict[str, dict[str, Any]] = {
    "job": JOB,
    "another job": {**JOB, "timer": "*-01-01 04:00:00"},
    "own port": {"command": f"serve --port {PORT}"},
    "socket elsewhere": {"command": "serve", "socket": PORT + 1},
}
_SHARING: dict[str, dict[str, Any]] = {
    f"{'socket ' if socket else ''}{handover} {instances}": {
        "command": "serve" if socket else "work",
        "handover": handover,
        "instances": instances,
        **({"socket": PORT} if socket else {}),
    }
    for socket, handover, instances in product((False, True), ("restart", "overlap"), (1, 2))
}
KINDS: Mapping[str, Mapping[str, Any]] = {**_ALONE, **_SHARING}


@dataclass(frozen=True)
class Book:
    """A playbook: what its second service is called, and of which kind it is; "" without one."""

    name: str = ""
    kind: str = ""

    def __str__(self) -> str:
        return f"{self.name} as {self.kind}" if self.name else "no more"

    def services(self, kinds: Mapping[str, Mapping[str, Any]] = KINDS) -> dict[str, Any]:
        return {self.name: dict(kinds[self.kind])} if self.name else {}

    def rendered(self, folder: Path, release: str) -> ReleaseTexts:
        """Return all texts of a release of it."""
        (folder / "app.whl").touch()
        services = {"worker": WORKER, **self.services()}
        values = {"app": "app", "hosts": "web", "wheel": "app.whl", "lock": "app.whl"}
        written = {**values, "wheelhouse": ".", "services": services}
        (folder / "playbook.yaml").write_text(yaml.safe_dump(written))
        host = Host("web1", ("web",), {})
        names = ReleaseNames(release, "1.0", f"{ROOT}/releases/{release}")
        (draft,) = reader.read(folder / "playbook.yaml")
        return units.release_texts(units.deployment(draft, host, {}, names), host, {}, names)


BOOKS = (Book(), *(Book(name, kind) for name, kind in product(("web", "api"), KINDS)))

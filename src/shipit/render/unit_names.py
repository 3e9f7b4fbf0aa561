"""The units of a service: their names, and the variables of their templates. Pure.

A service with an overlapping handover has separate units for each release, so that two releases run
side by side: app-web@<release>.service. Its socket has one name for all releases.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shipit.agent.protocol import manifest
from shipit.agent.protocol.manifest import OVERLAP
from shipit.servers.argv import BROUGHT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shipit.playbook.models import Deployment
    from shipit.playbook.service import Service

_QUICK = 10.0  # seconds for systemd to stop a socket or a timer


@dataclass(frozen=True)
class Named:
    """A service of a deployment with the names of its units in one release.

    Attributes:
        units: one for each instance.
        trial: the unit that tries the release on a private socket; "" if it has no trial.
        patience: seconds that it may take to become ready.
    """

    name: str
    service: Service
    base: str
    units: tuple[str, ...]
    trial: str
    patience: float

    @property
    def socket(self) -> str:
        return f"{self.base}.socket"

    @property
    def timer(self) -> str:
        return f"{self.base}.timer"


def named(deployment: Deployment, release: str) -> Iterator[Named]:
    """Yield the services with the names of their units in a release."""
    for name, service in deployment.services.items():
        base, overlaps = f"{deployment.app}-{name}", service.handover == OVERLAP
        numbers = [str(n + 1) for n in range(service.instances)] if service.instances > 1 else [""]
        instances = [".".join(filter(None, [release if overlaps else "", n])) for n in numbers]
        units = tuple(f"{base}@{one}.service" if one else f"{base}.service" for one in instances)
        trial = f"{base}@trial.service" if overlaps and service.socket else ""
        yield Named(name, service, base, units, trial, deployment.health.deadline)


def about_trial(of: Named, release_path: str, workdir: str) -> dict[str, object]:
    """Return the template's `service` for the trial unit, which is never restarted."""
    private = of.trial.replace(".service", ".socket")
    return {**about(of, of.trial, private, release_path, workdir), "restart": "no"}


def about(of: Named, unit: str, socket: str, release_path: str, workdir: str) -> dict[str, object]:
    """Return the template's `service` for one of a service's units.

    `workdir` is where it starts unless the playbook says otherwise.
    """
    service = of.service
    root = release_path.partition("/releases/")[0]
    workdir = service.workdir or workdir
    program, _, arguments = service.command.partition(" ")
    if service.programs:
        python = f"{release_path}/venv/bin/python"
        program = f"{python} {release_path}/files/{BROUGHT}/{service.programs[0]}"
    elif program and not program.startswith("/"):
        program = f"{release_path}/venv/bin/{program}"
    return {
        "name": of.name,
        "unit": unit,
        "socket_unit": socket,
        "timer_unit": of.timer,
        "command": service.command,
        "exec_start": f"{program} {arguments}".rstrip(),
        "socket": service.socket,
        "socket_mode": f"{service.socket_mode:04o}",
        "socket_user": service.socket_user,
        "socket_group": service.socket_group,
        "timer": service.timer,
        "type": "oneshot" if service.is_job else "notify" if service.notify else "exec",
        "is_shared": service.is_shared,
        "workdir": workdir if workdir.startswith("/") else f"{root}/{workdir}",
        "restart": service.restart or ("no" if service.is_job else "on-failure"),
        "start_timeout": f"{of.patience:g}s",
        "stop_timeout": f"{service.stop_timeout:g}s",
        "stop_signal": service.stop_signal,
        "hardening": dict(service.hardening),
    }


def units(deployment: Deployment, release: str) -> tuple[manifest.Unit, ...]:
    """Return the units in the order of their start: sockets, services, timers."""
    kinds: tuple[list[manifest.Unit], ...] = ([], [], [])
    sockets, services, timers = kinds
    for of in named(deployment, release):
        runs, stop = not of.service.is_job, of.service.stop_timeout
        services += [
            manifest.Unit(unit, of.name, runs, runs, stop, of.service.handover, of.trial)
            for unit in of.units
        ]
        if of.service.socket:
            listen = (of.service.socket,)
            sockets.append(manifest.Unit(of.socket, of.name, True, False, _QUICK, listen=listen))
        if of.service.timer:
            timers.append(manifest.Unit(of.timer, of.name, True, False, _QUICK))
    return tuple(unit for kind in kinds for unit in kind)

"""Prove a release where no customer is: its services run on private sockets beside the old release.

Only what has a listener of systemd's can be tried so. The units of a trial lie in /run, so that a
reboot forgets them; whatever ends a trial, `clear` leaves nothing of it.
"""

import os
from dataclasses import dataclass, replace
from typing import Dict, List, Optional, Tuple
from urllib.parse import urlsplit

from ..health import gate
from ..health.gate import Emit, Interrupted
from ..host.host import Host
from ..protocol.manifest import Check, Manifest, Unit
from ..protocol.messages import Failure
from ..records import releases
from ..system import sockets
from ..system.paths import Paths
from ..system.sockets import Endpoint
from ..system.unit_names import family
from . import trial_directories
from .start import Starting, ask
from .unit_plan import call_limit

STEP = "trial"
LOOPBACK = "127.0.0.1"
SOCKET = """\
# Made by shipit to prove a release where no customer is: it is removed when it has.
[Socket]
ListenStream={listen}
SocketMode=0600
RemoveOnStop=yes
Service={service}
"""


@dataclass(frozen=True)
class TrialEndpoint:
    """A way to a service that is tried: where it will listen, and where it does meanwhile."""

    service: Unit
    shared: Endpoint
    private: str  # host:port, or the path of a unix socket

    @property
    def socket(self) -> str:
        return socket_of(self.service.name)


def run(
    paths: Paths, host: Host, wanted: Manifest, emit: Emit, interrupted: Interrupted
) -> Optional[Failure]:
    """Start the release on private sockets and put it through its gate; return why it is not good.

    Nothing is left of one that is good; after any other end `clear` has to be called.

    Raises:
        Refused: systemd refused to start it; its log is in the evidence.
    """
    opened = endpoints(paths, host, wanted)
    if not opened:
        return None
    since, deadline = host.wall(), wanted.gate.deadline
    _write_units(paths, host, wanted, opened)
    limit = call_limit(_units(opened), deadline)
    starting = Starting(paths, host, STEP, since, limit, deadline, interrupted)
    starting.run("start", [door.socket for door in opened])
    starting.run("start", [door.service.name for door in opened])
    tried = gate.context(paths, host, as_tried(wanted, opened), since, {})
    failure = gate.run(host, tried, emit, interrupted)
    if failure is not None:
        return replace(failure, step=STEP)
    clear(paths, host, wanted)
    return None


def endpoints(paths: Paths, host: Host, wanted: Manifest) -> List[TrialEndpoint]:
    """Return a way to each service that can be tried; of several instances there is one."""
    texts, units = releases.unit_texts(paths, wanted), wanted.units
    found: Dict[str, TrialEndpoint] = {}
    for unit in units:
        listening = sockets.wanted(texts.get(f"{family(unit.name)}.socket", ""))
        if unit.trial and listening and unit.trial not in found:
            tried = Unit(unit.trial, unit.service, True, True, unit.stop_timeout)
            private = _private(host, unit.trial, listening[0])
            found[unit.trial] = TrialEndpoint(tried, listening[0], private)
    return list(found.values())


def _private(host: Host, name: str, shared: Endpoint) -> str:
    """Choose a listener of the same kind: a service may ask its peer for an address."""
    if shared.path:
        return f"/run/{socket_of(name)}"
    if str(shared.address) == "::1":
        return f"[::1]:{host.free_port('::1')}"
    return f"{LOOPBACK}:{host.free_port(LOOPBACK)}"


def socket_of(service: str) -> str:
    return service.rpartition(".")[0] + ".socket"


def _write_units(paths: Paths, host: Host, wanted: Manifest, opened: List[TrialEndpoint]) -> None:
    """Write the units of the trial, and have systemd know them."""
    texts = texts_of(paths, wanted)
    for door in opened:
        text = SOCKET.format(listen=door.private, service=door.service.name)
        host.install(os.path.join(paths.runtime_units, door.socket), text)
        name = door.service.name
        text = trial_directories.text(name, texts[name], host.owner)
        host.install(os.path.join(paths.runtime_units, name), text)
    ask(host, "daemon-reload", STEP)


def texts_of(paths: Paths, wanted: Manifest) -> Dict[str, str]:
    """Return the texts of the units that prove a release, as its manifest has them.

    Raises:
        Refused: release-damaged.
    """
    names = {f"trial/{unit.trial}": unit.trial for unit in wanted.units if unit.trial}
    texts = releases.verified_texts(paths, wanted, names)
    return {names[path]: text for path, text in texts.items()}


def _units(opened: List[TrialEndpoint]) -> Tuple[Unit, ...]:
    listening = [Unit(d.socket, d.service.service, True, False, 1.0) for d in opened]
    return (*listening, *(door.service for door in opened))


def as_tried(wanted: Manifest, opened: List[TrialEndpoint]) -> Manifest:
    """Return the release as it is during its trial: its units, and the checks that lead to them.

    Other checks would be answered by the old release, and are made after the switch.
    """
    led = (redirected(check, opened) for check in wanted.gate.checks)
    checks = tuple(check for check in led if check is not None)
    return replace(wanted, units=_units(opened), gate=replace(wanted.gate, checks=checks))


def redirected(check: Check, opened: List[TrialEndpoint]) -> Optional[Check]:
    """Return a check that goes through a door; None where it leads to none of them."""
    place = _place(check)
    for door in opened:
        if place is not None and place.collides(door.shared):
            return replace(check, via=door.private)
    return None


def _place(check: Check) -> Optional[Endpoint]:
    """Return where a check connects to; None for what is no address of a host."""
    if check.kind == "unix":
        return Endpoint(path=check.target.partition(":")[0])
    if check.kind == "tcp":
        name, _, port = check.target.rpartition(":")
    elif check.kind == "http" and check.target.startswith("http://"):
        parts = urlsplit(check.target)
        name, port = parts.hostname or "", str(parts.port or 80)
    else:
        return None
    name = name.strip("[]")
    return sockets.parse(f"[{name}]:{port}" if ":" in name else f"{_numeric(name)}:{port}")


def _numeric(name: str) -> str:
    return LOOPBACK if name == "localhost" else name


def clear(paths: Paths, host: Host, wanted: Manifest) -> None:
    """Stop and remove what a trial of the release has left on this host."""
    services = dict.fromkeys(unit.trial for unit in wanted.units if unit.trial)
    names = [name for service in services for name in (socket_of(service), service)]
    there = [n for n in names if os.path.lexists(os.path.join(paths.runtime_units, n))]
    if not there:
        return
    # The socket goes first: a last connection would start its service again.
    ask(host, "stop", STEP, there, call_limit(wanted.units))
    host.systemctl("reset-failed", there)  # fails for units that did not fail: fine
    for name in there:
        host.remove(os.path.join(paths.runtime_units, name))
    ask(host, "daemon-reload", STEP)

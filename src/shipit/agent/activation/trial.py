"""Check a release without traffic: run its services on private sockets beside the old release.

Only a service with a systemd socket can be tried. The units of a trial are in /run, so a reboot
removes them; `clear` removes them in all other cases.
"""

import os
from dataclasses import replace
from typing import Dict, List, Optional, Tuple

from ..health import gate
from ..health.gate import Emit, Interrupted
from ..host.host import Host
from ..protocol.manifest import Check, Manifest, Unit
from ..protocol.messages import Failure
from ..protocol.values import dataclass
from ..records import releases
from ..system import sockets
from ..system.paths import Paths
from ..system.sockets import Endpoint
from . import trial_directories
from .start import Starting, ask
from .unit_plan import call_limit

STEP = "trial"
LOOPBACK = "127.0.0.1"
SOCKET = """\
# Made by shipit to check a release without traffic; removed after the trial.
[Socket]
ListenStream={listen}
SocketMode=0600
RemoveOnStop=yes
Service={service}
"""


@dataclass(frozen=True)
class TrialEndpoint:
    """The endpoint of a service on trial: where it will listen, and where it listens now."""

    service: Unit
    shared: Endpoint
    private: str  # host:port, or the path of a unix socket

    @property
    def socket(self) -> str:
        return socket_of(self.service.name)


def run(
    paths: Paths, host: Host, wanted: Manifest, emit: Emit, interrupted: Interrupted
) -> Optional[Failure]:
    """Start the release on private sockets and run its gate; return why it failed, or None.

    Cleans up after a success; after a failure or an exception the caller must call `clear`.

    Raises:
        Refused: systemd refused to start it; its log is in the evidence.
    """
    opened = endpoints(host, wanted)
    if not opened:
        return None
    since, deadline = host.wall(), wanted.gate.deadline
    _write_units(paths, host, wanted, opened)
    limit = call_limit(_units(opened), deadline)
    starting = Starting(paths, host, STEP, since, limit, deadline, interrupted)
    starting.run("start", [endpoint.socket for endpoint in opened])
    starting.run("start", [endpoint.service.name for endpoint in opened])
    tried = gate.context(paths, host, as_tried(wanted, opened), since, {})
    failure = gate.run(host, tried, emit, interrupted)
    if failure is not None:
        return replace(failure, step=STEP)
    clear(paths, host, wanted)
    return None


def endpoints(host: Host, wanted: Manifest) -> List[TrialEndpoint]:
    """Return an endpoint for each service that can be tried, one for several instances."""
    found: Dict[str, TrialEndpoint] = {}
    for unit in wanted.units:
        listening = sockets.endpoints(wanted.listen(unit.service))
        if unit.trial and listening and unit.trial not in found:
            tried = Unit(unit.trial, unit.service, True, True, unit.stop_timeout)
            private = _private(host, unit.trial, listening[0])
            found[unit.trial] = TrialEndpoint(tried, listening[0], private)
    return list(found.values())


def _private(host: Host, name: str, shared: Endpoint) -> str:
    """Choose a listener of the same kind: a service may read its peer's address."""
    if shared.path:
        return f"/run/{socket_of(name)}"
    if str(shared.address) == "::1":
        return f"[::1]:{host.free_port('::1')}"
    return f"{LOOPBACK}:{host.free_port(LOOPBACK)}"


def socket_of(service: str) -> str:
    return service.rpartition(".")[0] + ".socket"


def _write_units(paths: Paths, host: Host, wanted: Manifest, opened: List[TrialEndpoint]) -> None:
    """Write the units of the trial, and have systemd read them."""
    texts = texts_of(paths, wanted)
    for endpoint in opened:
        text = SOCKET.format(listen=endpoint.private, service=endpoint.service.name)
        host.install(os.path.join(paths.runtime_units, endpoint.socket), text)
        name = endpoint.service.name
        text = trial_directories.text(name, texts[name], host.owner)
        host.install(os.path.join(paths.runtime_units, name), text)
    ask(host, "daemon-reload", STEP)


def texts_of(paths: Paths, wanted: Manifest) -> Dict[str, str]:
    """Return the texts of a release's trial units, verified by its manifest.

    Raises:
        Refused: release-damaged.
    """
    names = [f"trial/{unit.trial}" for unit in wanted.units if unit.trial]
    texts = releases.verified_texts(paths, wanted, names)
    return {os.path.basename(path): text for path, text in texts.items()}


def _units(opened: List[TrialEndpoint]) -> Tuple[Unit, ...]:
    listening = [Unit(d.socket, d.service.service, True, False, 1.0) for d in opened]
    return (*listening, *(endpoint.service for endpoint in opened))


def as_tried(wanted: Manifest, opened: List[TrialEndpoint]) -> Manifest:
    """Return the release as it is during its trial: its trial units, and the checks of them.

    The old release would answer the other checks, so they are made after the switch.
    """
    found = (redirected(check, opened) for check in wanted.gate.checks)
    checks = tuple(check for check in found if check is not None)
    return replace(wanted, units=_units(opened), gate=replace(wanted.gate, checks=checks))


def redirected(check: Check, opened: List[TrialEndpoint]) -> Optional[Check]:
    """Return the check sent to a trial endpoint instead; None if it checks none of them."""
    place = _place(check)
    for endpoint in opened:
        if place is not None and place.collides(endpoint.shared):
            return replace(check, via=endpoint.private)
    return None


def _place(check: Check) -> Optional[Endpoint]:
    """Return where a check connects to; None if it is no address of this host."""
    if check.socket:
        return Endpoint(path=check.socket)
    if not check.port or check.url.startswith("https:"):
        return None
    name = LOOPBACK if check.host == "localhost" else check.host
    return sockets.parse(f"[{name}]:{check.port}" if ":" in name else f"{name}:{check.port}")


def clear(paths: Paths, host: Host, wanted: Manifest) -> None:
    """Stop and remove the trial units of the release."""
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

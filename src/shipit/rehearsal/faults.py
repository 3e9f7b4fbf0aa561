"""Inject a fault into a deploy while its gate runs, and time how the machines recover.

The deploy runs in a separate process, the controller, so that it can be killed. When `inject`
returns, cables are repaired, machines are on and that process has ended. What runs on the machines
afterwards is checked elsewhere: see `probe`.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shipit.errors import ShipitError
from shipit.events import Noted, SecretsKnown, StepBegan
from shipit.lab.commands import LabError
from shipit.output.redaction import Redactor, redacted
from shipit.rehearsal import histories
from shipit.rehearsal.scenario import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from multiprocessing.connection import Connection

    from shipit.events import Emit, Event
    from shipit.rehearsal.histories import Attempt
    from shipit.rehearsal.providers.base import Machines

    Ship = Callable[[Emit], int]

GATE = "check"  # the step during which the fault happens
# Each limit is added to the patience of the Site.
STAGING_SECONDS = 600.0  # until the gate begins
SETTLING_SECONDS = 300.0  # from the fault until every host has settled its transaction
ENDING_SECONDS = 60.0  # from then until the controller has ended: it may roll back other hosts
PROGRESS_SECONDS = 15.0  # between two progress reports
_PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class FaultOutcome:
    """How a fault ended.

    Attributes:
        status: the controller's exit status; negative if it was killed.
        seconds: from the fault until the affected hosts had settled it; None if they did not.
        host: the host it was injected on; empty if no gate began.
        after: the seconds from the start of `inject` until the fault.
        attempts: the last line that each host wrote to its history meanwhile.
    """

    status: int
    seconds: float | None
    host: str = ""
    after: float = 0.0
    attempts: Mapping[str, Attempt] = field(default_factory=dict)


@dataclass(frozen=True)
class Site:
    """The app and the machines that a fault is injected on.

    Attributes:
        root: the app's directory on its hosts.
        names: the machine of each of the app's hosts.
        patience: seconds that the playbook gives a release to become healthy; a rollback may take
            as long.
    """

    app: str
    root: str
    names: Mapping[str, str]
    machines: Machines
    patience: float

    def is_settled(self, machine: str) -> bool:
        """Whether no transaction is open there; False if the machine can't be reached."""
        journal = f"/var/lib/shipit/txn/{self.app}.json"  # as docs/host.md names it
        try:
            return self.machines.run(machine, "test", "-e", journal).returncode != 0
        except LabError:
            return False

    def attempts(self) -> dict[str, Attempt]:
        """Return each host's last attempt."""
        return {
            host: histories.newest(self.machines, machine, self.root)
            for host, machine in self.names.items()
        }


def inject(fault: Fault, ship: Ship, site: Site, emit: Emit) -> FaultOutcome:
    """Deploy by `ship` in a separate process, and inject the fault in the first gate.

    Events up to the fault are passed to `emit`; failures that the fault causes are not.

    Raises:
        LabError: a machine did not obey.
    """
    fork = multiprocessing.get_context("fork")  # the inputs exist in this process only
    receiver, sender = fork.Pipe(duplex=False)
    controller = fork.Process(target=_run_controller, args=(ship, sender), daemon=True)
    began, before = time.monotonic(), site.attempts()
    controller.start()
    sender.close()
    try:
        host = _first_gate(receiver, emit, began + STAGING_SECONDS + site.patience)
        after, seconds, attempts = time.monotonic() - began, None, before
        if host:
            emit(Noted(f"in the gate of {host}: now {fault.value}"))
            seconds = _inject(fault, site, host, controller.kill, emit)
        if seconds is not None:
            attempts = site.attempts()
        controller.join(ENDING_SECONDS + site.patience)
    finally:
        controller.kill()
        controller.join()
    new = {name: attempt for name, attempt in attempts.items() if attempt != before[name]}
    return FaultOutcome(controller.exitcode or 0, seconds, host, after, new)


def unsettled(outcome: FaultOutcome, site: Site) -> str:
    """Explain an outcome in which the affected hosts did not settle the fault."""
    if outcome.host:
        return (
            f"{outcome.host} had not recovered by itself after"
            f" {SETTLING_SECONDS + site.patience:.0f} s;"
            " rehearse with --keep and inspect the host with `shipit doctor`"
        )
    if outcome.status < 0:
        return f"no gate had begun after {STAGING_SECONDS + site.patience:.0f} s"
    return f"the deploy ended with exit status {outcome.status} before a gate began"


def _run_controller(ship: Ship, sender: Connection) -> None:
    """Be the controller: send the events until a gate begins.

    A SecretsKnown can't be pickled: its secrets are redacted before an event is sent.
    """
    lock = threading.Lock()  # each host emits from its own thread
    redactor = Redactor()

    def emit(event: Event) -> None:
        with lock:
            if isinstance(event, SecretsKnown):
                redactor.learn(event.hide)
            elif not sender.closed:
                sender.send(redacted(event, redactor))
                if isinstance(event, StepBegan) and event.step == GATE:
                    sender.close()

    try:
        status = ship(emit)
    except ShipitError as error:
        emit(Noted(str(error)))
        status = error.exit_status
    # Ends this process alone; the rehearsal's own cleanup runs in its parent.
    raise SystemExit(status)


def _first_gate(receiver: Connection, emit: Emit, deadline: float) -> str:
    """Return the first host whose gate begins; empty if the deploy ended or timed out before."""
    while receiver.poll(max(0.0, deadline - time.monotonic())):
        try:
            event = receiver.recv()
        except EOFError:
            return ""
        emit(event)
        if isinstance(event, StepBegan) and event.step == GATE:
            return event.host
    return ""


def _inject(
    fault: Fault, site: Site, host: str, kill: Callable[[], None], emit: Emit
) -> float | None:
    """Inject the fault, wait until it is settled, and repair the cable."""
    machines, name = site.machines, site.names[host]
    began, hit = time.monotonic(), [name]
    match fault:
        case Fault.CONTROLLER:
            kill()
            hit = list(site.names.values())
        case Fault.AGENT:
            argv = ("systemctl", "kill", "--signal=KILL", "--kill-who=main")
            machines.run(name, *argv, f"shipit-{site.app}.service")
        case Fault.CABLE:
            machines.cut_cable(name)
        case Fault.REBOOT:
            machines.reboot(name)
        case Fault.POWER:
            machines.power_cut(name)
            machines.boot(name)
    try:
        return _settled(site, hit, began, emit)
    finally:
        machines.repair_cable(name)


def _settled(site: Site, hit: Sequence[str], began: float, emit: Emit) -> float | None:
    """Wait until no affected host has an open transaction; report progress meanwhile."""
    reported = began
    while not all(map(site.is_settled, hit)):
        now = time.monotonic()
        if now - began > SETTLING_SECONDS + site.patience:
            return None
        if now - reported >= PROGRESS_SECONDS:
            emit(Noted(f"still settling, {now - began:.0f} s after the fault"))
            reported = now
        time.sleep(_PAUSE_SECONDS)
    return time.monotonic() - began

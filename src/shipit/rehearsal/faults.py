"""Break a deploy off in its gate, as the world does it, and time how the machines put it right.

The deploy runs in a process of its own, which is the controller: it can be killed without a word.
Promises that cables are mended, machines are on and that process has ended when `play` returns. It
does not judge what runs then: see spectator.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeGuard

from shipit.errors import ShipitError
from shipit.events import Noted, SecretsKnown, StepBegan
from shipit.lab.lab import LabError
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

GATE = "check"  # the step during which it happens
STAGING_SECONDS = 600.0  # at most, beside the playbook's patience, until the gate
SETTLING_SECONDS = 300.0  # at most, beside the playbook's patience, from the fault on
ENDING_SECONDS = 60.0  # at most, beside that patience, for the controller to understand it
TELLING_SECONDS = 15.0  # between two signs of life while nothing is to be seen
_PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class Damage:
    """What a fault came to.

    Attributes:
        status: the controller's exit status; negative if it was killed.
        seconds: from the fault until what it hit had settled it; None: it did not come to that.
        host: the one it happened to; empty if no gate began.
        after: the seconds from the beginning of `play` until the fault.
        attempts: what hosts wrote into their ledgers meanwhile, the last line of each.
    """

    status: int
    seconds: float | None
    host: str = ""
    after: float = 0.0
    attempts: Mapping[str, Attempt] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Where it happens.

    Attributes:
        root: where the app lies on its hosts.
        names: of the machine that plays each of the app's hosts.
        patience: seconds that the playbook gives a release to become healthy; what is slow on its
            way there is slow on its way back.
    """

    app: str
    root: str
    names: Mapping[str, str]
    machines: Machines
    patience: float

    def is_settled(self, machine: str) -> bool:
        """Whether no transaction is open there; a machine that can't be asked may have one."""
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

    @property
    def staging(self) -> float:
        """The seconds that it may take until a gate begins."""
        return STAGING_SECONDS + self.patience

    @property
    def settling(self) -> float:
        """The seconds that it may take from the fault on."""
        return SETTLING_SECONDS + self.patience

    @property
    def ending(self) -> float:
        """The seconds that the controller may take then: it may have to bring others back."""
        return ENDING_SECONDS + self.patience


def play(fault: Fault, ship: Ship, place: Place, emit: Emit) -> Damage:
    """Deploy by `ship` in a process of its own; let the fault happen in the first gate, and tell.

    All that happens until then is told to `emit`, too; what the fault makes fail is not.

    Raises:
        LabError: a machine did not do as it was told.
    """
    fork = multiprocessing.get_context("fork")  # what is shipped lives in this process alone
    hearing, telling = fork.Pipe(duplex=False)
    controller = fork.Process(target=_control, args=(ship, telling), daemon=True)
    began, before = time.monotonic(), place.attempts()
    controller.start()
    telling.close()
    try:
        host = _first_in_gate(hearing, emit, began + place.staging)
        after = time.monotonic() - began
        if host:
            emit(Noted(f"in the gate of {host}: now {fault.value}"))
        seconds = _struck(fault, place, host, controller.kill, emit) if host else None
        told = place.attempts() if seconds is not None else before
        controller.join(place.ending)
    finally:
        controller.kill()
        controller.join()
    new = {name: attempt for name, attempt in told.items() if attempt != before[name]}
    return Damage(controller.exitcode or 0, seconds, host, after, new)


def unsettled(damage: Damage, place: Place) -> str:
    """Say how far it came, where what the fault hit did not settle it."""
    if damage.host:
        return (
            f"{damage.host} had not settled it by itself {place.settling:.0f} s later;"
            " play it with --keep, and look there with `shipit doctor`"
        )
    if damage.status < 0:
        return f"no gate had begun after {place.staging:.0f} s"
    return f"the deploy ended with exit status {damage.status} before a gate began"


def _control(ship: Ship, telling: Connection) -> None:
    """Be the controller: tell what happens until a gate begins.

    A SecretsKnown can't travel: what it hides is hidden before it leaves.
    """
    alone, veil = threading.Lock(), Redactor()  # hosts tell of themselves in threads of their own

    def emit(event: Event) -> None:
        with alone:
            if isinstance(event, SecretsKnown):
                veil.learn(event.hide)
            elif not telling.closed:
                telling.send(redacted(event, veil))
                if _begins_a_gate(event):
                    telling.close()

    try:
        status = ship(emit)
    except ShipitError as error:
        emit(Noted(str(error)))
        status = error.exit_status
    # The status of this process; what the rehearsal does at its own end is not done here.
    raise SystemExit(status)


def _begins_a_gate(event: Event) -> TypeGuard[StepBegan]:
    return isinstance(event, StepBegan) and event.step == GATE


def _first_in_gate(hearing: Connection, emit: Emit, deadline: float) -> str:
    """Return the first host whose gate begins; empty if the deploy ended before, or lasts."""
    while hearing.poll(max(0.0, deadline - time.monotonic())):
        try:
            event = hearing.recv()
        except EOFError:
            return ""
        emit(event)
        if _begins_a_gate(event):
            return event.host
    return ""


def _struck(
    fault: Fault, place: Place, host: str, kill: Callable[[], None], emit: Emit
) -> float | None:
    """Let it happen, wait until it is settled, and put the cable back."""
    machines, name = place.machines, place.names[host]
    began, hit = time.monotonic(), [name]
    match fault:
        case Fault.CONTROLLER:
            kill()
            hit = list(place.names.values())
        case Fault.AGENT:
            argv = ("systemctl", "kill", "--signal=KILL", "--kill-who=main")
            machines.run(name, *argv, f"shipit-{place.app}.service")
        case Fault.CABLE:
            machines.cut_cable(name)
        case Fault.REBOOT:
            machines.reboot(name)
        case Fault.POWER:
            machines.power_cut(name)
            machines.boot(name)
    try:
        return _settled(place, hit, began, emit)
    finally:
        machines.repair_cable(name)


def _settled(place: Place, hit: Sequence[str], began: float, emit: Emit) -> float | None:
    """Wait until no host that was hit has a transaction, and say now and then that one has."""
    told = began
    while not all(map(place.is_settled, hit)):
        now = time.monotonic()
        if now - began > place.settling:
            return None
        if now - told >= TELLING_SECONDS:
            emit(Noted(f"still settling, {now - began:.0f} s after the fault"))
            told = now
        time.sleep(_PAUSE_SECONDS)
    return time.monotonic() - began

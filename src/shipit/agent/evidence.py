"""Gather what a person needs to understand why a unit is not well.

The log is the unit's own since it was started by us. It is passed on as it is: a service that logs
its secrets has logged them; whoever shows it masks what it knows.
"""

import signal
from typing import Iterable, List

from .host import Host, UnitView

LINES = 30
KILLED, DUMPED = 2, 3  # CLD_KILLED, CLD_DUMPED
RESULTS = {
    "oom-kill": "the kernel killed it: out of memory",
    "start-limit-hit": "it was started too often in too short a time",
    "timeout": "it did not start or stop within its timeout",
    "watchdog": "its watchdog ran out",
    "resources": "systemd could not set it up (a missing file or directory?)",
    "protocol": "it did not say that it was ready",
}


def where(unit: str) -> str:
    """Say how the whole log of a unit is read: from the controller, or else on the host."""
    return f"shipit logs PLAYBOOK --limit HOST; on the host: journalctl -u {unit}"


def described(view: UnitView) -> str:
    """Say in one line how a unit is."""
    parts = [f"{view.name} is {view.active} ({view.sub})"]
    if view.load != "loaded":
        parts.append(f"systemd says: {view.load}")
    if view.result in RESULTS:
        parts.append(RESULTS[view.result])
    if view.exit_code or view.exit_status:
        parts.append(f"its main process {_ended(view)}")
    if view.restarts:
        parts.append(f"restarted {view.restarts} times")
    return ", ".join(parts)


def _ended(view: UnitView) -> str:
    if view.exit_code in (KILLED, DUMPED):
        return f"was killed by {_signal_name(view.exit_status)}"
    return f"ended with exit status {view.exit_status}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def of_units(host: Host, views: Iterable[UnitView], since: float) -> str:
    """Return the state and the last log lines of units; `since` in seconds since the epoch."""
    return "\n".join(line for view in views for line in _of_unit(host, view, since))


def _of_unit(host: Host, view: UnitView, since: float) -> List[str]:
    log = host.unit_log(view.name, since=since, lines=LINES).rstrip()
    return [described(view), log or f"(no log yet; {where(view.name)})"]

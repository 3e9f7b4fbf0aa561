"""Send requests to the service on each machine while a step runs.

A client on the machine requests the first HTTP health check of the running release; a service
without one gets no requests. A client that a reboot ends reports nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from shipit.lab.commands import LabError
from shipit.rehearsal.programs import ask_url
from shipit.rehearsal.scenario import Served

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shipit.playbook.health import Check
    from shipit.rehearsal.environment import Environment
    from shipit.rehearsal.providers.base import Machines
    from shipit.rehearsal.scenario import Releases

_TIMEOUT_SECONDS = 60.0
_FOLDER = "/run/shipit-rehearsal"
# "$1" names the client: its unit, its program and its result.
_START = f"""
mkdir -p {_FOLDER} && cat >{_FOLDER}/$1.py &&
exec systemd-run --quiet --collect --unit=shipit-customer-$1 \
  python3 -I {_FOLDER}/$1.py "$2" "$3" "$4" {_FOLDER}/$1.json
"""
_COLLECT = (
    f"systemctl stop shipit-customer-$1 2>/dev/null; cat {_FOLDER}/$1.json; rm -f {_FOLDER}/$1.*"
)

LoadFiles = dict[tuple[str, str], str]


def start(environment: Environment, running: Releases) -> LoadFiles:
    """Start a client for each running service; return its machine, by app and host."""
    started: LoadFiles = {}
    program = Path(ask_url.__file__).read_text()
    for resolved in (resolved for each in environment.wanted for resolved in each):
        app, host = resolved.deployment.app, resolved.name
        if not (release := running.get((app, host), "")):
            continue
        checks: Iterable[Check] = resolved.deployed(release).health.checks
        if check := next((check for check in checks if check.http), None):
            words = (app, check.http, str(check.status), json.dumps(check.sent))
            machine = started[app, host] = environment.assignment.machines[host]
            _run(environment.machines, machine, _START, *words, given=program)
    return started


def stop(started: LoadFiles, machines: Machines) -> dict[tuple[str, str], Served]:
    """Stop the clients and return their results."""
    results = {spot: _run(machines, name, _COLLECT, spot[0]) for spot, name in started.items()}
    return {spot: Served(**json.loads(text)) for spot, text in results.items() if text}


def _run(machines: Machines, machine: str, script: str, *words: str, given: str = "") -> str:
    """Return what a script prints; "" if it can't run, which does not end the rehearsal."""
    argv = ("sh", "-c", script, "sh", *words)
    try:
        return machines.run(machine, *argv, input=given, timeout=_TIMEOUT_SECONDS).stdout
    except LabError:
        return ""

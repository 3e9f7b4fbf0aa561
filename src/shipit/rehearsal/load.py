"""Let a customer on each machine ask its service all the time while an act is played.

He asks for the service's first HTTP health check as it is written for the release that runs; a
service that has none has no customers. One that is cut off by a reboot tells nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from shipit.lab.lab import LabError
from shipit.rehearsal.programs import load_url
from shipit.rehearsal.scenario import Served

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from shipit.playbook.reader import Check
    from shipit.rehearsal.providers.base import Machines
    from shipit.rehearsal.scenario import Releases
    from shipit.release.inputs import ResolvedInput

_TIMEOUT_SECONDS = 60.0
_FOLDER = "/run/shipit-rehearsal"
# "$1" names the customer: his unit, his program and his result.
_SEND = f"""
mkdir -p {_FOLDER} && cat >{_FOLDER}/$1.py &&
exec systemd-run --quiet --collect --unit=shipit-customer-$1 \
  python3 -I {_FOLDER}/$1.py "$2" "$3" {_FOLDER}/$1.json "$4"
"""
_RECALL = (
    f"systemctl stop shipit-customer-$1 2>/dev/null; cat {_FOLDER}/$1.json; rm -f {_FOLDER}/$1.*"
)

LoadFiles = dict[tuple[str, str], str]


def start(
    wanted: Sequence[Sequence[ResolvedInput]],
    running: Releases,
    names: Mapping[str, str],
    machines: Machines,
) -> LoadFiles:
    """Send customers to whatever runs; returns where they are: the machine, by app and host."""
    sent: LoadFiles = {}
    program = Path(load_url.__file__).read_text()
    for wish in (wish for each in wanted for wish in each):
        app, host = wish.target.deployment.app, wish.target.name
        release = running.get((app, host), "")
        check = _asked(wish, release) if release else None
        if check:
            words = (app, check.http, str(check.status), json.dumps(check.sent))
            _ran(machines, names[host], _SEND, *words, given=program)
            sent[app, host] = names[host]
    return sent


def stop(sent: LoadFiles, machines: Machines) -> dict[tuple[str, str], Served]:
    """End what was begun; returns how the customers were served."""
    told = {spot: _ran(machines, name, _RECALL, spot[0]) for spot, name in sent.items()}
    return {spot: Served(**json.loads(text)) for spot, text in told.items() if text}


def _asked(wish: ResolvedInput, release: str) -> Check | None:
    checks: Iterable[Check] = wish.target.rendered(wish.names(release)).health.checks
    return next((check for check in checks if check.http), None)


def _ran(machines: Machines, machine: str, script: str, *words: str, given: str = "") -> str:
    """Return what a script prints; one that can't run is no reason to end a rehearsal."""
    argv = ("sh", "-c", script, "sh", *words)
    try:
        return machines.run(machine, *argv, input=given, timeout=_TIMEOUT_SECONDS).stdout
    except LabError:
        return ""

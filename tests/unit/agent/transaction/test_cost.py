"""What a transaction asks of a host: counted, not timed. One more needs a reason, written here."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import shipit
from fake_deploy import Simulation, manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shipit.agent.protocol.manifest import Manifest

# What a role does not load: a start's time is mostly that of its imports.
READERS = {"zipfile", "tarfile", "csv", "shipit.agent.storage.venv_drift"}  # of wheels and venvs
NETWORK = {"http.client", "ssl", "email", "shipit.agent.host.probes"}
OF_STAGING = {"tempfile", "shipit.agent.storage.bytecode", "shipit.agent.staging"}
OF_ROLLBACKS = {"shipit.agent.transaction.runner", "shipit.agent.activation"}
ROLES = {
    # In every deploy, while the controller waits. A rollback reads its target, a check may probe.
    "from shipit.agent.transaction import runner": READERS | NETWORK | OF_STAGING,
    # A new release is read by nobody yet; uv's wheel is unpacked once.
    "from shipit.agent.staging import stage": READERS | NETWORK,
    # It is up for minutes: what a rollback needs comes when there is one.
    "from shipit.agent.watch import watcher": READERS | NETWORK | OF_STAGING | OF_ROLLBACKS,
    # A no-op needs no more than the facts.
    "from shipit.agent.server import server, facts": READERS | NETWORK | OF_STAGING,
}
QUIET = ("now", "wall", "sleep")  # the clocks cost nothing
UNITS = "app-web.socket app-web.service"
LAUNCHED = [
    "show shipit-app.service",  # the name of the driver's unit is free
    "start driver",
]
CHECKED = [
    f"show {UNITS}",  # the starts that count from here on
    f"show {UNITS}",  # steady?
    "GET http://127.0.0.1:8000/healthz",
    f"show {UNITS}",  # still those that answered, and not ones that were started meanwhile
]


def switched(release: str) -> list[str]:
    """Return the calls of a switch in which a service's text alone has changed."""
    return [
        *LAUNCHED,
        f"show shipit-recover@app.service {UNITS}",  # is the boot unit loaded, what runs before?
        f"show {UNITS}",  # what is to be done?
        "install app-web.service",
        "daemon-reload",  # the only one
        f"point current at releases/{release}",
        "reset-failed app-web.service",  # else a few deploys in a row hit the start limit
        "restart app-web.service",
        *CHECKED,
    ]


def healthy_at_once(simulation: Simulation, release: str) -> Manifest:
    made = manifest(simulation.paths, release)
    return replace(made, gate=replace(made.gate, min_healthy=0.0))


def test_a_warm_deploy_and_a_rollback_ask_for_no_more_than_this(tmp_path: Path) -> None:
    simulation = Simulation.at(tmp_path)
    machine = simulation.machine
    simulation.deploy(healthy_at_once(simulation, "r1"))
    first = len(machine.calls)
    simulation.deploy(healthy_at_once(simulation, "r2"))
    second = len(machine.calls)
    simulation.rollback("r1")
    assert asked(machine.calls[first:second]) == switched("r2")
    assert asked(machine.calls[second:]) == switched("r1")


def asked(calls: Sequence[str]) -> list[str]:
    found = [call.partition(": ")[2] for call in calls]
    return [call for call in found if call not in QUIET]


@pytest.mark.parametrize("role", ROLES)
def test_a_role_loads_nothing_that_few_deploys_need(role: str) -> None:
    source = str(Path(shipit.__file__).parents[1])
    program = f"import sys; sys.path.insert(0, {source!r}); {role}; print(*sys.modules)"
    argv = [sys.executable, "-I", "-S", "-c", program]
    ran = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    imported = set(ran.stdout.split())
    assert "shipit.agent.system.paths" in imported
    assert imported & ROLES[role] == set()

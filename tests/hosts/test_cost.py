"""What a deploy costs on the wire and on the controller: counted, not timed.

A round trip is counted where it is asked for (see tally): a busy machine asks for no more. Of the
frames, Part and Renew wait for no answer.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from hosts import tally
from hosts.links import at
from hosts.relay import Relay
from hosts.tally import LOGGED_IN
from hosts.workspace import PATIENCE, PORT, Done, Workspace
from shipit.lab.lab import Lab
from shipit.transport import agent_zip
from shipit.transport.connect import connect
from shipit.transport.ssh.client import Network
from wheelhouse import MIB, Recipe, installed_wheel, write_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KIB = 1024
MANY = 30  # dependencies: the manifest grows with them
STARTED = ["channel", "exec", "boot", "Hello"]


@dataclass
class Wire:
    """What went over the wire to web1 for one command."""

    done: Done
    asked: list[str]
    sent: int
    connections: int


@dataclass
class Costly:
    """A workspace whose only host is reached through a relay that counts."""

    workspace: Workspace
    relay: Relay

    def run(self, *words: str) -> Wire:
        workspace, file = self.workspace, self.workspace.folder / "asked.json"
        self.relay.reset()
        connections, (verb, *rest) = self.relay.connections, words
        line = (verb, "playbook.yaml", *rest, "--limit", "web1")
        ran = subprocess.run(
            [sys.executable, tally.__file__, str(file), *line],
            cwd=workspace.folder,
            env=workspace.environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        done = Done(ran.returncode, ran.stdout, ran.stderr)
        assert done.status == 0, done.output
        asked = json.loads(file.read_text())
        return Wire(done, asked, self.relay.sent, self.relay.connections - connections)

    def release(self, version: str) -> Path:
        names = [f"dep-{number}" for number in range(MANY)]
        wheel = self.workspace.wheel(version, requires=names)
        self.workspace.playbook(version, confirm_timeout="600s")  # longer than any run: no renewal
        return wheel


@contextmanager
def through(workspace: Workspace, name: str) -> Iterator[Relay]:
    """Lead the inventory's way to a host through a relay."""
    with Relay(workspace.lab.hosts[name].address, 22) as relay:
        workspace.variables(**{name: {"ansible_host": "127.0.0.1", "ansible_port": relay.port}})
        yield relay


@pytest.fixture(scope="module")
def costly(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Costly]:
    """Give web1 with release 1.0.0 on it, and 30 dependencies."""
    lab.reset("web1")
    workspace = Workspace.set(tmp_path_factory.mktemp("cost"), lab, hosts=["web1"])
    workspace.lock(
        *(write_wheel(workspace.wheels, Recipe(f"dep-{number}")) for number in range(MANY))
    )
    with through(workspace, "web1") as relay:
        costly = Costly(workspace, relay)
        costly.release("1.0.0")
        costly.run("deploy")
        yield costly


def test_connecting_and_logging_in_costs_four_round_trips(costly: Costly, tmp_path: Path) -> None:
    place = at(costly.workspace.lab.hosts["web1"], address="127.0.0.1", port=costly.relay.port)
    with (
        tally.tally() as asked,
        Network(home=tmp_path) as network,
        closing(connect(place, agent_zip.build(), network)),
    ):
        assert asked == LOGGED_IN


def test_a_no_op_costs_the_connection_and_four_round_trips_on_one_channel(costly: Costly) -> None:
    costly.release("1.0.0")
    costly.run("deploy", "--allow-older")  # whichever test came before: it is 1.0.0 that runs
    wire = costly.run("deploy", "--json")
    (ended,) = wire.done.result["hosts"].values()
    assert ended["outcome"] == "unchanged"
    assert wire.connections == 1
    assert wire.asked == [*LOGGED_IN, *STARTED]


def test_a_changed_app_costs_the_connection_and_seven_round_trips_and_little_but_its_wheel(
    costly: Costly,
) -> None:
    wheel = costly.release("1.1.0")
    wire = costly.run("deploy", "--allow-older", "--json")
    (sent,) = wire.done.reported("sent")
    assert sent["total"] == wheel.stat().st_size
    assert wire.sent - wheel.stat().st_size < 100 * KIB
    assert wire.connections == 1
    assert wire.asked == [*LOGGED_IN, *STARTED, "Part", "Renew", "Stage", "Activate", "Settle"]


def test_a_rollback_costs_the_connection_and_six_round_trips_and_sends_next_to_nothing(
    costly: Costly,
) -> None:
    for version in ("1.2.0", "1.3.0"):
        costly.release(version)
        costly.run("deploy", "--allow-older")
    wire = costly.run("rollback", "--json")
    assert wire.done.reported("sent") == []
    assert wire.sent < 100 * KIB
    assert wire.connections == 1
    assert wire.asked == [*LOGGED_IN, *STARTED, "Renew", "Activate", "Settle"]


def test_ten_hosts_and_a_bundle_of_60_mb_need_less_than_150_mb_of_the_controller(
    lab_machine: None, tmp_path: Path
) -> None:
    """The peak is the kernel's own (VmHWM), of the process that ran the whole command."""
    names = [f"host{number}" for number in range(10)]
    (tmp_path / "lab").mkdir()
    with Lab.up(names, tmp_path / "lab", timeout=300) as lab:
        workspace = Workspace.set(tmp_path, lab, hosts=names)
        installer = installed_wheel(workspace.wheels, "uv")  # a part of the bundle
        ballast = Recipe("ballast", bulk=60 * MIB - installer.stat().st_size)
        workspace.lock(write_wheel(workspace.wheels, ballast))
        workspace.wheel("1.0.0", requires=["ballast"])
        web = {"web": {"command": "tinyapp", "socket": PORT, "handover": "restart"}}
        health = {"deadline": "120s", "min_healthy": "100ms"}
        workspace.playbook("1.0.0", services=web, smoke=None, health=health)
        program = textwrap.dedent("""
            import re, sys
            from pathlib import Path
            from shipit.cli.main import main

            status = main(["deploy", "playbook.yaml", "--json"])
            memory = Path("/proc/self/status").read_text()
            sys.stderr.write(re.search(r"VmHWM:\\s+(\\d+)", memory)[1])
            sys.exit(status)
        """)
        ran = subprocess.run(
            [sys.executable, "-c", program],
            cwd=workspace.folder,
            env=workspace.environment(),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        done = Done(ran.returncode, ran.stdout, "")
        assert done.status == 0, done.output
        assert set(workspace.versions().values()) == {"1.0.0"}
    assert int(ran.stderr) * KIB < 150_000_000

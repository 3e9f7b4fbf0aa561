"""A real haproxy in front of the hosts of the lab, and an app there that restarts.

haproxy comes from its package, and runs on this machine, which is the gateway of the lab. It tries
nothing a second time: a request that meets a stopped service is lost.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from hosts.load import Demand, Load
from hosts.packages import unpacked
from hosts.workspace import PORT, Done, Workspace
from patience import until
from shipit.agent.host import connect
from shipit.agent.host.host import RealHost
from shipit.agent.protocol.balancers import Haproxy
from shipit.agent.system.failures import Refused
from shipit.agent.transaction.balancer import haproxy

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.lab.lab import Lab

HOSTS = ("web1", "web2")
BACKEND = "web"
PATIENCE = 30.0  # seconds
PACKAGES = "haproxy liblua5.3-0 libopentracing-c-wrapper0 libopentracing1"
HELD = {"command": "/bin/false"}  # keeps the gate
CONFIGURATION = """
global
    stats socket ipv4@{gateway}:{admin} level admin
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    retries 0
frontend all
    bind {gateway}:{port}
    default_backend web
backend web
    option httpchk GET /healthz
{servers}
"""


@dataclass
class Balanced:
    """An app on two hosts behind haproxy."""

    workspace: Workspace
    number: int = 0  # of versions so far
    admin: int = 0
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @classmethod
    def begun(cls, folder: Path, lab: Lab) -> Self:
        """Start haproxy, and deploy a first release."""
        lab.reset()
        balanced = cls(Workspace.set(folder, lab, HOSTS))
        balanced.admin, balanced.port = (connect.free_port(balanced.gateway) for _ in range(2))
        balanced.start_haproxy()
        done = balanced.deploy()
        assert done.status == 0, done.output
        return balanced

    @property
    def gateway(self) -> str:
        return self.workspace.lab.hosts["web1"].address.rpartition(".")[0] + ".1"

    @property
    def version(self) -> str:
        return f"1.0.{self.number}"

    # --- haproxy ----------------------------------------------------------------------------------

    def start_haproxy(self) -> None:
        folder, hosts = unpacked("haproxy", PACKAGES), self.workspace.lab.hosts
        servers = "\n".join(
            f"    server {name} {hosts[name].address}:{PORT} check inter 200ms" for name in HOSTS
        )
        text = CONFIGURATION.format(
            gateway=self.gateway, admin=self.admin, port=self.port, servers=servers
        )
        configuration = self.workspace.folder / "haproxy.cfg"
        configuration.write_text(text)
        libraries = folder / "usr/lib/x86_64-linux-gnu"
        self.process = subprocess.Popen(
            [folder / "usr/sbin/haproxy", "-db", "-q", "-f", configuration],
            env={**os.environ, "LD_LIBRARY_PATH": str(libraries)},
        )
        until(self._answers, lambda: "haproxy does not start", PATIENCE)

    def _answers(self) -> bool:
        with suppress(Refused):
            return bool(self.status("web1"))
        return False

    def stop_haproxy(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()

    def status(self, host: str) -> str:
        """Return what haproxy says of a host."""
        of = Haproxy((f"{self.gateway}:{self.admin}",), BACKEND, host)
        return haproxy.server_at(RealHost(), of.sockets[0], of).status

    def statuses(self) -> set[str]:
        return {self.status(host) for host in HOSTS}

    # --- deploys ----------------------------------------------------------------------------------

    def playbook(self, *checks: dict[str, str], deadline: str = "60s", **changes: Any) -> None:  # noqa: ANN401
        sockets = [f"{self.gateway}:{self.admin}"]
        server = {"backend": BACKEND, "server": "{{ inventory_hostname }}"}
        own = {
            "http": f"http://127.0.0.1:{PORT}/healthz",
            "json": {"version": "{{ release.version }}"},
        }
        values: dict[str, Any] = {
            "services": {"web": {"command": "tinyapp", "handover": "restart"}},
            "env": {"HOST": "0.0.0.0", "PORT": str(PORT), "GREETING": self.version},  # noqa: S104
            "secrets": None,
            "smoke": None,
            "health": {
                "checks": [own, *checks],
                "deadline": deadline,
                "min_healthy": "300ms",
                "interval": "50ms",
            },
            "serial": 1,
            "keep_releases": 2,
            "load_balancer": {"haproxy": {"sockets": sockets, **server}, "wait": "30s"},
            **changes,
        }
        self.workspace.playbook(self.version, **values)

    def prepare(self, *checks: dict[str, str], fault: str = "", **changes: Any) -> None:  # noqa: ANN401
        """Write a playbook with a new version, which may be broken or held in its gate."""
        self.number += 1
        self.workspace.wheel(self.version, fault)
        self.playbook(*checks, **changes)

    def deploy(self, *words: str, fault: str = "", **changes: Any) -> Done:  # noqa: ANN401
        """Deploy a new version; a broken one is found out soon."""
        self.prepare(fault=fault, deadline="2s" if fault else "60s", **changes)
        return self.workspace.shipit("deploy", *words)

    def clients(self, rate: float) -> Load:
        demand = Demand(rate=rate, kept=10, fresh=10)
        return Load(f"http://{self.gateway}:{self.port}/", demand)

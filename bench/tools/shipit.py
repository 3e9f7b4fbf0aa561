"""shipit itself, with all its checks; `min_healthy` alone is as short as the others' wait."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from bench.service import NAME, PORT
from bench.tools.base import Call
from bench.tools.steps import BUDGET

if TYPE_CHECKING:
    from bench.tools.base import Job


class Shipit:
    """Its service is restarted, as with every other tool: a socket would cost nothing more."""

    name = "shipit"
    about = "host keys, lease, journal, gate and automatic rollback on; `min_healthy: 1ms`"

    def prepare(self, job: Job) -> None:
        hosts = {
            host.name: {
                "ansible_host": "127.0.0.1",
                "ansible_port": host.port,
                "ansible_user": host.user,
                "ansible_ssh_private_key_file": str(host.key),
                "ansible_become": True,
                "shipit_host_key": host.host_key,
            }
            for host in job.hosts
        }
        (job.folder / "inventory.yaml").write_text(json.dumps({"all": {"hosts": hosts}}))
        for version, wheel in job.wheels.apps.items():
            playbook = {
                "app": NAME,
                "hosts": "all",
                "wheel": str(wheel),
                "lock": str(job.wheels.lock),
                "wheelhouse": str(job.wheels.folder),
                "services": {
                    "web": {
                        "command": f"uvicorn {NAME}:app --host 127.0.0.1 --port {PORT}",
                        "handover": "restart",
                    }
                },
                "health": {
                    "checks": [
                        {
                            "http": f"http://127.0.0.1:{PORT}/healthz",
                            "json": {"version": version},
                        }
                    ],
                    "deadline": f"{BUDGET:g}s",
                    "min_healthy": "1ms",
                },
            }
            (job.folder / f"{version}.yaml").write_text(json.dumps(playbook))

    def deploy(self, _job: Job, version: str) -> Call:
        return Call([sys.executable, "-m", "shipit", "deploy", f"{version}.yaml"])

    def rollback(self, _job: Job, version: str) -> Call:
        return Call([sys.executable, "-m", "shipit", "rollback", f"{version}.yaml"])

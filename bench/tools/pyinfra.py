"""pyinfra, as its documentation shows: operations in a deploy, with facts where it has them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bench.service import LOCK, NAME, unit
from bench.tools import steps
from bench.tools.base import SCRIPTS, Call
from bench.tools.digest import sha256_of

if TYPE_CHECKING:
    from bench.tools.base import Job

DEPLOY = (SCRIPTS / "pyinfra_deploy.py").read_text()


class Pyinfra:
    """`files.put` compares digests; the release is built and switched by `server.shell`."""

    name = "pyinfra"
    about = (
        "`files.put`, `server.user` and `server.shell`; one tar for the wheels; uv builds the venv"
    )

    def prepare(self, job: Job) -> None:
        hosts = [
            (
                host.name,
                {
                    "ssh_hostname": "127.0.0.1",
                    "ssh_port": host.port,
                    "ssh_user": host.user,
                    "ssh_key": str(host.key),
                    "ssh_known_hosts_file": str(job.ssh / "known_hosts"),
                },
            )
            for host in job.hosts
        ]
        (job.folder / "inventory.py").write_text(f"hosts = {hosts!r}\n")
        (job.folder / "deploy.py").write_text(DEPLOY)
        for version, wheel in job.wheels.apps.items():
            made = unit(f"{steps.ROOT}/releases/{version}")
            (job.folder / f"{version}.service").write_text(made)
            sha256 = sha256_of(wheel)
            scripts = {
                name: getattr(steps, name.upper())
                .replace("@VERSION@", version)
                .replace("@SHA256@", sha256)
                for name in ("unpack", "build", "switch", "rollback")
            }
            order = {
                "root": steps.ROOT,
                "name": NAME,
                "version": version,
                "archive": str(job.wheels.archive),
                "lock": str(LOCK),
                "wheel": str(wheel),
                "scripts": scripts,
            }
            (job.folder / f"{version}.json").write_text(json.dumps(order))
        (job.folder / "health.py").write_text(steps.HEALTH)

    def deploy(self, job: Job, version: str) -> Call:
        return self._run(job, "deploy", version)

    def rollback(self, job: Job, version: str) -> Call:
        return self._run(job, "rollback", version)

    def _run(self, job: Job, action: str, version: str) -> Call:
        program = str(job.python.parent / "pyinfra")
        data = ["--data", f"action={action}", "--data", f"version={version}"]
        return Call([program, "-y", "inventory.py", "deploy.py", *data])

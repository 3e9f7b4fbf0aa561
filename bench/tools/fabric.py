"""A script with Fabric, as its documentation shows: `put`, then `sudo`; hosts in threads."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bench.service import LOCK, NAME, unit
from bench.tools import steps
from bench.tools.base import SCRIPTS, Call
from bench.tools.digest import sha256_of

if TYPE_CHECKING:
    from bench.tools.base import Job

SCRIPT = (SCRIPTS / "fabric_script.py").read_text()


class Fabric:
    """What teams without a tool have."""

    name = "Fabric"
    about = "a script of `put` and `sudo`; files that are there are not sent again"

    def prepare(self, job: Job) -> None:
        (job.folder / "script.py").write_text(SCRIPT)
        order = {
            "hosts": [host.name for host in job.hosts],
            "ssh_config": str(job.ssh / "ssh_config"),
            "root": steps.ROOT,
            "name": NAME,
            "archive": str(job.wheels.archive),
            "lock": str(LOCK),
            "health": steps.HEALTH,
            "steps": {
                name: getattr(steps, name.upper())
                for name in ("setup", "unpack", "build", "switch", "rollback")
            },
            "apps": {
                version: [str(wheel), sha256_of(wheel)]
                for version, wheel in job.wheels.apps.items()
            },
            "unit": unit(f"{steps.ROOT}/releases/@VERSION@"),
        }
        (job.folder / "order.json").write_text(json.dumps(order))

    def deploy(self, job: Job, version: str) -> Call:
        return Call([str(job.python), "script.py", "deploy", version])

    def rollback(self, job: Job, version: str) -> Call:
        return Call([str(job.python), "script.py", "rollback", version])

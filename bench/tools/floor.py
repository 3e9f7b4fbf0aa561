"""The floor: one ssh, an agent on its stdin, missing files alone, and no safety at all.

No lock, no lease, no journal, no check of a digest, no user of its own for anything; the layer of
dependencies is built once for each lock. What a tool costs above this is what it does besides.
"""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING

from bench.service import LOCK, NAME, PORT, unit
from bench.tools import steps
from bench.tools.base import SCRIPTS, Call

if TYPE_CHECKING:
    from bench.tools.base import Job

PIN = re.compile(r"^[\w.-]+(?:\[[\w,]+\])?==[^ ]+", re.MULTILINE)


class Floor:
    """A lower bound, not a tool."""

    name = "floor"
    about = (
        "one ssh, an agent on stdin, missing files alone, a shared layer of dependencies; no safety"
    )

    def prepare(self, job: Job) -> None:
        (job.folder / "script.py").write_text((SCRIPTS / "floor_script.py").read_text())
        (job.folder / "agent.py").write_text((SCRIPTS / "floor_agent.py").read_text())
        for version, wheel in job.wheels.apps.items():
            order = {
                "root": steps.ROOT,
                "name": NAME,
                "port": PORT,
                "budget": steps.BUDGET,
                "version": version,
                "layer": job.wheels.layer,
                "lock": "\n".join(PIN.findall(LOCK.read_text())),
                "unit": unit(f"{steps.ROOT}/releases/{version}"),
                "app": wheel.name,
                "files": {
                    path.name: [str(path), path.stat().st_size]
                    for path in [wheel, *sorted(job.wheels.folder.glob("*.whl"))]
                },
                "hosts": [host.name for host in job.hosts],
                "ssh_config": str(job.ssh / "ssh_config"),
            }
            (job.folder / f"{version}.json").write_text(json.dumps(order))

    def deploy(self, _job: Job, version: str) -> Call:
        return Call([sys.executable, "-I", "-S", "script.py", "deploy", version])

    def rollback(self, _job: Job, version: str) -> Call:
        return Call([sys.executable, "-I", "-S", "script.py", "rollback", version])

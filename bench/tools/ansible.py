"""Ansible, as its documentation recommends: pipelining, a persistent connection, no facts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bench.service import LOCK, NAME, unit
from bench.tools import steps
from bench.tools.base import SCRIPTS, Call
from bench.tools.digest import sha256_of

if TYPE_CHECKING:
    from bench.tools.base import Job

CONFIG = """\
[defaults]
inventory = inventory.json
gathering = explicit
forks = 20
interpreter_python = /usr/bin/python3
retry_files_enabled = false
[ssh_connection]
pipelining = true
ssh_args = -C -o ControlMaster=auto -o ControlPersist=60s -o ControlPath={path} -F {config}
"""
PLAY = (SCRIPTS / "ansible.yml").read_text()


class Ansible:
    """One play: files by `copy`, commands with `creates`, a handler for the unit."""

    name = "Ansible"
    about = "pipelining, ControlPersist, no facts; one tar for the wheels; uv builds the venv"

    def prepare(self, job: Job) -> None:
        config = CONFIG.format(config=job.ssh / "ssh_config", path=_path(job))
        (job.folder / "ansible.cfg").write_text(config)
        hosts = {host.name: {"ansible_become": True} for host in job.hosts}
        (job.folder / "inventory.json").write_text(json.dumps({"all": {"hosts": hosts}}))
        (job.folder / "deploy.yml").write_text(PLAY)
        (job.folder / "health.py").write_text(steps.HEALTH)
        (job.folder / "build.sh.j2").write_text(
            steps.BUILD.replace("@VERSION@", "{{ version }}").replace("@SHA256@", "{{ sha256 }}")
        )
        for script in ("UNPACK", "ROLLBACK"):
            (job.folder / f"{script.lower()}.sh").write_text(getattr(steps, script))
        (job.folder / "unit.j2").write_text(unit(f"{steps.ROOT}/releases/{{{{ version }}}}"))
        (job.folder / "lock.txt").write_bytes(LOCK.read_bytes())

    def deploy(self, job: Job, version: str) -> Call:
        return self._play(job, version, "deploy")

    def rollback(self, job: Job, version: str) -> Call:
        return self._play(job, version, "rollback")

    def _play(self, job: Job, version: str, tag: str) -> Call:
        wheel = job.wheels.apps[version]
        variables = {
            "root": steps.ROOT,
            "app": NAME,
            "version": version,
            "wheel": str(wheel),
            "sha256": sha256_of(wheel),
            "archive": str(job.wheels.archive),
        }
        program = str(job.python.parent / "ansible-playbook")
        options = ["deploy.yml", "--tags", tag, "-e", json.dumps(variables)]
        environment = {"ANSIBLE_CONFIG": str(job.folder / "ansible.cfg")}
        config = ("-F", str(job.ssh / "ssh_config"), "-o", f"ControlPath={_path(job)}")
        after = [("ssh", *config, "-O", "exit", host.name) for host in job.hosts]
        return Call([program, *options], environment, after)


def _path(job: Job) -> str:
    """Return the path of a connection's socket, which may have about a hundred bytes."""
    return f"{job.folder}/%n"

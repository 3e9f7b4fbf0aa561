"""Prepare a rehearsal: disposable machines that replace the playbook's hosts.

No real host can be reached from it. The machines are removed at the end unless they are to be kept.
"""

from __future__ import annotations

import shlex
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from shipit.events import Noted
from shipit.inventory import model
from shipit.inventory.ansible_cfg import AnsibleConfig
from shipit.rehearsal import hosts
from shipit.rehearsal.scenario import as_written
from shipit.release.inputs import HostInput, inventory_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shipit.events import Emit
    from shipit.inventory.model import Host
    from shipit.rehearsal.hosts import Assignment
    from shipit.rehearsal.providers.base import Machines, Provider
    from shipit.rehearsal.scenario import Change
    from shipit.release.inputs import ResolvedInput, RunOptions


@dataclass(frozen=True)
class Environment:
    """What a rehearsal runs on.

    Attributes:
        run: the options of the command, with machines instead of hosts.
        wanted: the input of each machine, by deployment.
    """

    run: RunOptions
    wanted: Sequence[Sequence[ResolvedInput]]
    assignment: Assignment
    machines: Machines


@contextmanager
def machines_for(
    assignment: Assignment, provider: Provider, emit: Emit, *, keep: bool
) -> Iterator[Machines]:
    """Boot the machines; remove every trace of them unless they are to be kept."""
    names = list(assignment.machines.values())
    emit(Noted(f"booting disposable machines ({provider.kind}): {', '.join(names)}"))
    folder = Path(tempfile.mkdtemp(prefix="shipit-rehearsal-"))
    try:
        machines = provider.up(names, folder, lambda text: emit(Noted(text)))
        try:
            yield machines
        finally:
            emit(Noted(machines.stay() if keep else "removing the machines"))
            if not keep:
                machines.down()
    finally:
        if not any(folder.iterdir()):  # otherwise the kept machines need it
            folder.rmdir()


def set_up(
    run: RunOptions,
    wanted: Sequence[Sequence[ResolvedInput]],
    assignment: Assignment,
    machines: Machines,
) -> Environment:
    """Replace hosts by machines, in the options of the run and in its inputs."""
    by_name = machines.folder / "machines.yaml"
    by_name.write_text(machines.inventory())
    connections = {host.name: hosts.connection_of(host) for host in model.load([by_name]).hosts}
    text = hosts.inventory_text(
        inventory_of(run),
        [resolved.host for each in wanted for resolved in each],
        {host: connections[machine] for host, machine in assignment.machines.items()},
        run.passwords,
    )
    path = machines.folder / "inventory.yaml"
    path.touch(mode=0o600)  # variables may be confidential
    path.write_text(text)
    # Neither ansible.cfg nor files beside the playbook may lead to a real host.
    on_machines = replace(
        run,
        inventory=(path,),
        config=AnsibleConfig(),
        beside_playbook=False,
        limit=",".join(assignment.machines),
        become_password=None,
    )
    by_host = {host.name: host for host in inventory_of(on_machines).hosts}
    assigned_inputs = [
        [
            _changed(resolved, by_host[resolved.name], as_written)
            for resolved in each
            if resolved.name in assignment.machines
        ]
        for each in wanted
    ]
    return Environment(on_machines, assigned_inputs, assignment, machines)


def as_changed(wanted: Sequence[ResolvedInput], change: Change) -> list[ResolvedInput]:
    """Return the inputs with a changed deployment; the playbook's file is not modified."""
    return [_changed(resolved, resolved.host, change) for resolved in wanted]


def _changed(resolved: ResolvedInput, host: Host, change: Change) -> ResolvedInput:
    # Its machines may not reach what the hosts do: they are sent what these would fetch. They have
    # no clients that a canary could be observed by. A load balancer that they do reach is the real
    # one: it would drain the hosts whose names they have.
    left_out = ("transfer", "canary", "load_balancer")
    values = change(resolved.draft.values).items()
    kept = {key: each for key, each in values if key not in left_out}
    draft = replace(resolved.draft, values=kept)
    return replace(resolved, **vars(HostInput.of(draft, host, resolved.extra_vars)))


def how_to_reach(environment: Environment) -> str:
    """Return the commands that reach the kept machines."""
    path = shlex.quote(str(environment.run.inventory[0]))
    host = model.load([environment.machines.folder / "machines.yaml"]).hosts[0].vars
    login = f"{host['ansible_user']}@{host['ansible_host']}"
    key = shlex.quote(str(host["ansible_ssh_private_key_file"]))
    port = host["ansible_port"]
    return (
        f"the first machine: ssh -i {key} -p {port} {login}; "
        f"all: shipit status {environment.run.playbook} -i {path} -l {environment.run.limit}"
    )

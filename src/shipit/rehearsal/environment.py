"""Set the stage of a rehearsal: machines in the place of the playbook's hosts.

Promises that no real host can be reached from it, and that the machines are gone when it is left,
unless they are to be kept.
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
from shipit.release.inputs import PLACEHOLDER, inventory_of
from shipit.render import units

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
    """Where it plays.

    Attributes:
        run: as it was asked for, with machines in the place of hosts.
        wanted: what each machine should get, by deployment.
    """

    run: RunOptions
    wanted: Sequence[Sequence[ResolvedInput]]
    cast: Assignment
    machines: Machines


@contextmanager
def machines_for(
    cast: Assignment, provider: Provider, emit: Emit, *, keep: bool
) -> Iterator[Machines]:
    """Boot the machines, and leave nothing of them unless they are to be kept."""

    def tell(text: str) -> None:
        emit(Noted(text))

    names = list(cast.machines.values())
    tell(f"booting disposable machines ({provider.kind}): {', '.join(names)}")
    folder = Path(tempfile.mkdtemp(prefix="shipit-rehearsal-"))
    try:
        machines = provider.up(names, folder, tell)
        try:
            yield machines
        finally:
            if keep:
                tell(machines.stay())
            else:
                tell("removing the machines")
                machines.down()
    finally:
        if not any(folder.iterdir()):  # else what lies there is still needed
            folder.rmdir()


def set_up(
    run: RunOptions, wanted: Sequence[Sequence[ResolvedInput]], cast: Assignment, machines: Machines
) -> Environment:
    """Put machines in the place of hosts, in the run and in what is wanted."""
    by_name = machines.folder / "machines.yaml"
    by_name.write_text(machines.inventory())
    ways = {host.name: hosts.connection_of(host) for host in model.load([by_name]).hosts}
    text = hosts.inventory_text(
        inventory_of(run),
        [wish.target.host for each in wanted for wish in each],
        {host: ways[machine] for host, machine in cast.machines.items()},
        run.passwords,
    )
    path = machines.folder / "inventory.yaml"
    path.touch(mode=0o600)  # variables may be nobody else's business
    path.write_text(text)
    # Neither ansible.cfg nor files beside the playbook may lead to a real host.
    on_machines = replace(
        run,
        inventory=(path,),
        config=AnsibleConfig(),
        beside_playbook=False,
        limit=",".join(cast.machines),
        become_password=None,
    )
    by_host = {host.name: host for host in inventory_of(on_machines).hosts}
    played = [
        [
            _changed(wish, by_host[wish.target.name], as_written)
            for wish in each
            if _is_in(cast, wish)
        ]
        for each in wanted
    ]
    return Environment(on_machines, played, cast, machines)


def _is_in(cast: Assignment, wish: ResolvedInput) -> bool:
    return wish.target.name in cast.machines


def as_changed(wanted: Sequence[ResolvedInput], change: Change) -> list[ResolvedInput]:
    """Return wishes with a changed deployment; the playbook's file stays as it is."""
    return [_changed(wish, wish.target.host, change) for wish in wanted]


def _changed(wish: ResolvedInput, host: Host, change: Change) -> ResolvedInput:
    target = wish.target
    draft = replace(target.draft, values=change(target.draft.values))
    deployment = units.deployment(draft, host, target.extra_vars, PLACEHOLDER)
    return replace(wish, target=replace(target, draft=draft, host=host, deployment=deployment))


def how_to_reach(stage: Environment) -> str:
    """Return the commands that lead to machines that are kept."""
    path = shlex.quote(str(stage.run.inventory[0]))
    host = model.load([stage.machines.folder / "machines.yaml"]).hosts[0].vars
    login = f"{host['ansible_user']}@{host['ansible_host']}"
    key = shlex.quote(str(host["ansible_ssh_private_key_file"]))
    port = host["ansible_port"]
    return (
        f"the first machine: ssh -i {key} -p {port} {login}; "
        f"all: shipit status {stage.run.playbook} -i {path} -l {stage.run.limit}"
    )

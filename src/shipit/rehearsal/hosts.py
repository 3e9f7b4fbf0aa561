"""Decide which hosts a rehearsal covers, and write an inventory in which machines replace them.

Names, groups and variables stay those of the playbook's hosts. No real host can be reached by that
inventory: every connection variable is replaced, also for hosts that are left out. Pure.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shipit.secrets import Secret
from shipit.vault import NONE, Passwords, Vaulted
from shipit.yaml_tags import Raw, mapped

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from shipit.inventory.model import Host, Inventory

MOST = 4  # machines: enough for batches, few enough for a laptop
NOWHERE = "left-out.invalid"  # no such name can exist: RFC 2606, section 2

_CONNECTING = ("ansible_", "shipit_")  # how these variables' names begin
_OF_ITSELF = {
    *("inventory_hostname", "inventory_hostname_short", "group_names"),
    *("inventory_file", "inventory_dir"),
}


@dataclass(frozen=True)
class Assignment:
    """Which hosts are replaced by machines.

    Attributes:
        machines: the machine's name by host.
        left_out: the hosts without a machine.
    """

    machines: Mapping[str, str]
    left_out: tuple[str, ...] = ()


def assign(
    deployments: Sequence[Sequence[str]], chosen: Collection[str] = (), most: int = MOST
) -> Assignment:
    """Choose the hosts: those that the operator chose, and at least one of each deployment.

    Args:
        deployments: the names of the hosts of each.
        chosen: all of these hosts get a machine, however many.
        most: the limit where none was chosen; each deployment gets one machine in any case.
    """
    every = list(dict.fromkeys(name for names in deployments for name in names))
    selected = [name for name in every if name in chosen]
    needed = {names[0] for names in deployments if not set(names) & set(selected)}
    room = 0 if selected else max(0, most - len(needed))
    more = [name for name in every if name not in needed][:room]
    assigned = [name for name in every if name in {*selected, *needed, *more}]
    left_out = tuple(name for name in every if name not in assigned)
    # The hosts' own names, where they are valid hostnames and unique.
    machines = [re.sub(r"[^a-z0-9.-]", "-", name.lower())[:63].strip("-.") for name in assigned]
    if "localhost" in machines or not all(machines) or len(set(machines)) < len(machines):
        machines = [f"machine{number}" for number in range(1, len(assigned) + 1)]
    return Assignment(dict(zip(assigned, machines, strict=True)), left_out)


def inventory_text(
    known: Inventory,
    assigned: Iterable[Host],
    connections: Mapping[str, Mapping[str, object]],
    passwords: Passwords = NONE,
) -> str:
    """Return `known` as JSON (which is YAML too) with the connection variables of the machines.

    Args:
        known: the playbook's inventory.
        assigned: the hosts with a machine; localhost may be one, though no source names it.
        connections: the connection variables of the machines, by host.
        passwords: encrypt again what they decrypted, so that the text holds no secret.
    """
    hosts = {host.name: host for host in (*known.hosts, *assigned)}
    text = {
        "hosts": {
            name: {**_own_variables(host), **connections.get(name, {"ansible_host": NOWHERE})}
            for name, host in hosts.items()
        },
        "children": {
            group: {"hosts": {name: {} for name in members}}
            for group, members in known.groups.items()
            if group not in ("all", "ungrouped")
        },
    }

    def as_json(value: object) -> object:
        match value:
            case Vaulted():
                return {"__ansible_vault": value.text}
            case Secret():
                return {"__ansible_vault": passwords.seal(value)}
            case _:
                return str(value)

    def marked(value: str) -> object:
        return {"__ansible_unsafe": str(value)} if isinstance(value, Raw) else value

    return json.dumps({"all": mapped(text, marked)}, indent=2, default=as_json)


def _own_variables(host: Host) -> dict[str, object]:
    return {
        key: value
        for key, value in host.vars.items()
        if key not in _OF_ITSELF and not key.startswith(_CONNECTING)
    }


def connection_of(host: Host) -> dict[str, object]:
    """Return the connection variables of a host."""
    return {key: value for key, value in host.vars.items() if key.startswith(_CONNECTING)}

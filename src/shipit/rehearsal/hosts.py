"""Decide which hosts a rehearsal plays, and write an inventory in which machines stand in for them.

Promises that names, groups and variables are the playbook's hosts' own, and that no real host can
be reached by that inventory: everything that says how to connect is replaced, also for hosts that
are left out. Pure; boots nothing.
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
_OF_ALL = {"all", "ungrouped"}


@dataclass(frozen=True)
class Assignment:
    """Who is played.

    Attributes:
        machines: a machine's name for each host that is played.
        left_out: the hosts that are not.
    """

    machines: Mapping[str, str]
    left_out: tuple[str, ...] = ()


def assign(
    deployments: Sequence[Sequence[str]], chosen: Collection[str] = (), most: int = MOST
) -> Assignment:
    """Choose hosts: those that a person chose, and the first of each deployment in any case.

    Args:
        deployments: the names of the hosts of each.
        chosen: all of these hosts are played, however many.
        most: how many machines there may be where none was chosen, unless there are more
            deployments.
    """
    every = list(dict.fromkeys(name for names in deployments for name in names))
    meant = [name for name in every if name in chosen]
    needed = {names[0] for names in deployments if not set(names) & set(meant)}
    room = 0 if meant else max(0, most - len(needed))
    more = [name for name in every if name not in needed][:room]
    played = [name for name in every if name in {*meant, *needed, *more}]
    left_out = tuple(name for name in every if name not in played)
    return Assignment(dict(zip(played, _machine_names(played), strict=True)), left_out)


def _machine_names(hosts: Sequence[str]) -> list[str]:
    """Return hostnames for machines: the hosts' own, as far as those can be hostnames."""
    names = [re.sub(r"[^a-z0-9.-]", "-", name.lower())[:63].strip("-.") for name in hosts]
    if "localhost" in names or not all(names) or len(set(names)) < len(names):
        return [f"machine{number}" for number in range(1, len(hosts) + 1)]
    return names


def inventory_text(
    known: Inventory,
    played: Iterable[Host],
    reach: Mapping[str, Mapping[str, object]],
    passwords: Passwords = NONE,
) -> str:
    """Return an inventory (JSON, which is YAML too) like `known`, with other ways to connect.

    Args:
        known: the inventory that the playbook is meant for.
        played: the hosts that are played; one may be localhost, which no source has to name.
        reach: the connection variables of those hosts' machines.
        passwords: what they opened is closed again: no secret lies in the text.
    """
    hosts = {host.name: host for host in (*known.hosts, *played)}
    groups: dict[str, object] = {
        group: {"hosts": {name: {} for name in members}}
        for group, members in known.groups.items()
        if group not in _OF_ALL
    }
    text = {
        "hosts": {name: _variables(host, reach.get(name)) for name, host in hosts.items()},
        "children": groups,
    }

    def as_json(value: object) -> object:
        match value:
            case Vaulted():
                return {"__ansible_vault": value.text}
            case Secret():
                return {"__ansible_vault": passwords.seal(value)}
            case _:
                return str(value)

    return json.dumps({"all": mapped(text, _marked)}, indent=2, default=as_json)


def _marked(text: str) -> object:
    return {"__ansible_unsafe": str(text)} if isinstance(text, Raw) else text


def _variables(host: Host, reach: Mapping[str, object] | None) -> dict[str, object]:
    own = {
        key: value
        for key, value in host.vars.items()
        if key not in _OF_ITSELF and not key.startswith(_CONNECTING)
    }
    return {**own, **({"ansible_host": NOWHERE} if reach is None else reach)}


def connection_of(host: Host) -> dict[str, object]:
    """Return the variables of a host that say how to connect to it."""
    return {key: value for key, value in host.vars.items() if key.startswith(_CONNECTING)}

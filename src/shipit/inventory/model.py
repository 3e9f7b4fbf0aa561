"""The hosts of an inventory, with their groups and variables.

An inventory that Ansible accepts means the same here: the order of hosts, the groups, the merged
variables and their precedence, group_vars/ and host_vars/ beside each source and beside the
playbook, content encrypted with ansible-vault, the defaults of ansible.cfg. Values with {{ }} are
not rendered here. It connects to no host.

Where Ansible only warns or misreads a mistake, this refuses: the modules grouping, host_ranges,
formats and patterns each list what they are stricter about. What only Ansible can read (plugins,
TOML) is read by its program. docs/inventory.md has the details.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

from shipit.errors import InputError, Mistake, Place
from shipit.inventory import formats, host_ranges, patterns, scripts
from shipit.inventory.ansible_cfg import AnsibleConfig
from shipit.inventory.grouping import ALL, Grouping
from shipit.inventory.vars_files import VarsFiles, merging, replacing
from shipit.vault import NONE, Passwords

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_NOT_INVENTORIES = re.compile(
    r"^\.|^(host_vars|group_vars|vars_plugins)$"
    r"|(\.pyc|\.pyo|\.swp|\.bak|~|\.rpm|\.md|\.txt|\.rst|\.orig|\.cfg|\.retry)$"
)


@dataclass(frozen=True)
class Reading:
    """What the meaning of an inventory depends on, besides its sources.

    Attributes:
        passwords: for content encrypted with ansible-vault.
        playbook_dir: the folder of the playbook.
        beside_playbook: whether group_vars/ and host_vars/ there are read as well.
        config: the settings of ansible.cfg.
        may_run: whether ansible-inventory may be run.
    """

    passwords: Passwords = NONE
    playbook_dir: Path | None = None
    config: AnsibleConfig = field(default_factory=AnsibleConfig)
    may_run: bool = True
    beside_playbook: bool = True


@dataclass(frozen=True)
class Host:
    """One host of the inventory.

    Attributes:
        name: its name in the inventory, which may differ from its address.
        groups: the names of its groups except `all`, sorted: Ansible's group_names.
        vars: its variables, merged; with inventory_hostname, inventory_hostname_short, group_names,
            inventory_file and inventory_dir. May hold secrets: not shown by repr.
        defaults: connection variables from ansible.cfg; the host's own override them.
        magic: more variables for templates: groups, playbook_dir, ansible_playbook_python.
        peers: the variables of all hosts, by name: Ansible's hostvars.
        locked: why variable files for it could not be opened; their variables are missing.
        notes: notes for the operator on how it was read.
    """

    name: str
    groups: tuple[str, ...]
    vars: Mapping[str, object] = field(repr=False, hash=False)
    defaults: Mapping[str, object] = field(default_factory=dict, repr=False, compare=False)
    magic: Mapping[str, object] = field(default_factory=dict, repr=False, compare=False)
    peers: Mapping[str, Mapping[str, object]] = field(
        default_factory=dict, repr=False, compare=False
    )
    locked: tuple[Mistake, ...] = field(default=(), compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Inventory:
    """All hosts and groups.

    Attributes:
        hosts: in Ansible's order.
        groups: each group's hosts, including those of groups below; has `all`, `ungrouped`.
        implicit: localhost by each of its names, for patterns that name it where no source does.
        read_order: the hosts' names in the order of their first mention; globs use it.
    """

    hosts: tuple[Host, ...]
    groups: Mapping[str, tuple[str, ...]] = field(hash=False)
    implicit: tuple[Host, ...] = ()
    read_order: tuple[str, ...] = ()

    def select(self, pattern: str, limit: str | None = None) -> tuple[Host, ...]:
        """Return the hosts that match a pattern and the limit, at least one.

        Raises:
            InputError: an error of patterns.select.
        """
        by_name = {host.name: host for host in (*self.implicit, *self.hosts)}
        order = self.read_order or tuple(host.name for host in self.hosts)
        names = patterns.select(patterns.Names(order, self.groups), pattern, limit)
        return tuple(by_name[name] for name in names)


def load(sources: Sequence[Path], reading: Reading = Reading()) -> Inventory:
    """Read inventory sources, each adding to and overriding those before it.

    A source is a file (YAML, JSON, INI), an executable, a directory of these, or a list of hosts
    with a comma in it (`localhost,`). If only Ansible can read one of them, it reads all of them.

    Raises:
        InputError: with all mistakes found.
    """
    grouping = Grouping()
    _read(grouping, sources, reading)
    grouping.settle()
    beside = [source if source.is_dir() else source.parent for source in sources if source.exists()]
    play = [reading.playbook_dir] if reading.playbook_dir and reading.beside_playbook else []
    merge = merging if reading.config.merges else replacing
    files = VarsFiles((beside, play), reading.passwords, merge)
    return files.result(_inventory(grouping, files, reading))


def _read(grouping: Grouping, sources: Sequence[Path], reading: Reading) -> None:
    """Add all sources; mistakes are added to the grouping."""
    parts = grouping.attempt(lambda: [part for each in sources for part in _files_of(each)]) or []
    for_ansible = next(filter(formats.is_for_ansible, parts), None)
    if for_ansible is not None and reading.may_run:
        reason = Place(str(for_ansible))
        grouping.attempt(scripts.read_by_ansible, grouping, sources, reason, reading.passwords)
        return
    for part in parts:
        grouping.attempt(formats.read, grouping, part, reading.passwords)


def _files_of(source: Path) -> Iterator[Path]:
    """Yield the files of a source: itself or, of a directory, all that may be inventories."""
    if not source.is_dir():
        yield source
        return
    try:
        entries = sorted(source.iterdir())
    except OSError as error:
        what = f"the directory cannot be read: {error.strerror}"
        raise InputError(Mistake("file-unreadable", what, Place(str(source)))) from error
    for entry in entries:
        if not _NOT_INVENTORIES.search(entry.name):
            yield from _files_of(entry)


def _inventory(grouping: Grouping, files: VarsFiles, reading: Reading) -> Inventory:
    members, groups_of = grouping.hosts, grouping.groups_of_hosts()
    groups = {name: grouping.members(name) for name in grouping.groups}
    peers: dict[str, Mapping[str, object]] = {}
    here = reading.playbook_dir or Path()
    magic = {
        "playbook_dir": os.path.abspath(here),  # noqa: PTH100 - symlinks stay: as in Ansible
        "ansible_playbook_python": sys.executable,
        "groups": {name: list(found) for name, found in groups.items()},
    }

    def host(name: str, own: Mapping[str, object], about: Mapping[str, object]) -> Host:
        above = groups_of.get(name, ())
        direct = tuple(sorted(above))
        layers: list[Mapping[str, object]] = [
            *(grouping.groups[group].vars for group in (ALL, *above)),
            *files.layers("group_vars", [ALL]),
            *files.layers("group_vars", above),
            own,
            *files.layers("host_vars", [name]),
        ]
        nothing: Mapping[str, object] = {}
        merged: Mapping[str, object] = reduce(files.merge, layers, nothing)
        found = {**merged, **_about(name, direct), **about}
        locked = [*files.locked("group_vars", [ALL, *above]), *files.locked("host_vars", [name])]
        peers[name] = found
        defaults, notes = reading.config.variables, reading.config.notes
        unread = tuple(dict.fromkeys(locked))
        return Host(name, direct, found, defaults, magic, peers, unread, notes)

    local = {"ansible_connection": "local"}
    names = grouping.members(ALL)
    return Inventory(
        hosts=tuple(host(n, members[n].vars, _origin(members[n].source)) for n in names),
        groups=groups,
        implicit=tuple(host(n, local, {}) for n in patterns.LOCALHOSTS if n not in members),
        read_order=tuple(members),
    )


def _about(name: str, groups: tuple[str, ...]) -> dict[str, object]:
    """Return the variables that Ansible defines for every host."""
    is_address = host_ranges.is_ipv4(name) or (host_ranges.is_ipv6(name) and "%" not in name)
    return {
        "inventory_hostname": name,
        "inventory_hostname_short": name if is_address else name.partition(".")[0],
        "group_names": list(groups),
    }


def _origin(source: str) -> dict[str, object]:
    if not Path(source).exists():  # a list of hosts
        return {"inventory_file": source, "inventory_dir": None}
    path = os.path.abspath(source)  # noqa: PTH100 - `..` goes, symlinks stay: as in Ansible
    return {"inventory_file": path, "inventory_dir": str(Path(path).parent)}

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

    from shipit.inventory.vars_files import Merge

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

    @property
    def play_folders(self) -> list[Path]:
        return [self.playbook_dir] if self.playbook_dir and self.beside_playbook else []


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
        sources: the sources that were read.
        implicit: localhost by each of its names, for patterns that name it where no source does.
        read_order: the hosts' names in the order of their first mention; globs use it.
    """

    hosts: tuple[Host, ...]
    groups: Mapping[str, tuple[str, ...]] = field(hash=False)
    sources: tuple[Path, ...] = ()
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
    merge = merging if reading.config.merges else replacing

    def files_in(folders: list[Path]) -> VarsFiles:
        return VarsFiles(folders, reading.passwords, merge)

    beside = files_in([folder for source in sources for folder in _folder_of(source)])
    play = files_in(reading.play_folders)
    inventory = _Merging(grouping, beside, play, merge).inventory(tuple(sources), reading)
    if beside.mistakes or play.mistakes:
        raise InputError(*dict.fromkeys([*beside.mistakes, *play.mistakes]))
    return inventory


def _read(grouping: Grouping, sources: Sequence[Path], reading: Reading) -> None:
    """Add all sources; mistakes are added to the grouping."""
    try:
        parts = [part for source in sources for part in _files_of(source)]
        for_ansible = next(filter(formats.is_for_ansible, parts), None)
        if for_ansible is not None and reading.may_run:
            reason = Place(str(for_ansible))
            scripts.read_by_ansible(grouping, sources, reason, reading.passwords)
            return
    except InputError as error:
        grouping.mistakes.extend(error.mistakes)
        return
    for part in parts:
        try:
            formats.read(grouping, part, reading.passwords)
        except InputError as error:
            grouping.mistakes.extend(error.mistakes)


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


def _folder_of(source: Path) -> list[Path]:
    """Return the folder of a source's group_vars/ and host_vars/; a list of hosts has none."""
    if source.is_dir():
        return [source]
    return [source.parent] if source.exists() else []


@dataclass(frozen=True)
class _Merging:
    """Merges the variables of each host, in Ansible's order of precedence."""

    grouping: Grouping
    beside: VarsFiles  # the sources
    play: VarsFiles  # beside the playbook
    merge: Merge

    def inventory(self, sources: tuple[Path, ...], reading: Reading) -> Inventory:
        grouping, members = self.grouping, self.grouping.hosts
        groups_of = grouping.groups_of_hosts()
        groups = {name: grouping.members(name) for name in grouping.groups}
        peers: dict[str, Mapping[str, object]] = {}
        magic = {**_magic(reading), "groups": {name: list(found) for name, found in groups.items()}}

        def host(name: str, own: Mapping[str, object], about: Mapping[str, object]) -> Host:
            above = groups_of.get(name, ())
            direct = tuple(sorted(above))
            found = {**self._vars(name, above, own), **_about(name, direct), **about}
            locked = tuple(dict.fromkeys(self._locked(name, above)))
            peers[name] = found
            defaults, notes = reading.config.variables, reading.config.notes
            return Host(name, direct, found, defaults, magic, peers, locked, notes)

        local = {"ansible_connection": "local"}
        return Inventory(
            hosts=tuple(
                host(name, members[name].vars, _origin(members[name].source))
                for name in grouping.members(ALL)
            ),
            groups=groups,
            sources=sources,
            implicit=tuple(host(n, local, {}) for n in patterns.LOCALHOSTS if n not in members),
            read_order=tuple(members),
        )

    def _vars(
        self, name: str, groups: tuple[str, ...], own: Mapping[str, object]
    ) -> Mapping[str, object]:
        layers = [
            self.grouping.groups[ALL].vars,
            *(self.grouping.groups[group].vars for group in groups),
            self.beside.of("group_vars", [ALL]),
            self.play.of("group_vars", [ALL]),
            self.beside.of("group_vars", groups),
            self.play.of("group_vars", groups),
            own,
            self.beside.of("host_vars", [name]),
            self.play.of("host_vars", [name]),
        ]
        nothing: Mapping[str, object] = {}
        return reduce(self.merge, layers, nothing)

    def _locked(self, name: str, groups: tuple[str, ...]) -> Iterator[Mistake]:
        for files in (self.beside, self.play):
            yield from files.locked("group_vars", [ALL, *groups])
            yield from files.locked("host_vars", [name])


def _magic(reading: Reading) -> dict[str, object]:
    here = reading.playbook_dir or Path()
    return {
        "playbook_dir": os.path.abspath(here),  # noqa: PTH100 - symlinks stay: as in Ansible
        "ansible_playbook_python": sys.executable,
    }


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

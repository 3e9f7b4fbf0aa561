"""Know the hosts: which there are, in which groups, with which variables.

Promises that an inventory that Ansible accepts means the same here: the order of hosts, the
groups, the merged variables and their precedence, group_vars/ and host_vars/ beside each source.
Values with {{ }} are kept as they are: rendering is somebody else's. It connects to nothing, and
it reads no group_vars/ beside a playbook.

Where Ansible warns and goes on, or takes a mistake for something else, this refuses: the modules
grouping, hostnames, formats and patterns each list what they are stricter about.
Not supported: vault, inventory plugins, TOML.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from shipit import yamlfile
from shipit.errors import InputError, Mistake, Place
from shipit.inventory import formats, hostnames, patterns
from shipit.inventory.grouping import ALL, Grouping

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_NOT_INVENTORIES = re.compile(
    r"^\.|^(host_vars|group_vars|vars_plugins)$"
    r"|(\.pyc|\.pyo|\.swp|\.bak|~|\.rpm|\.md|\.txt|\.rst|\.orig|\.cfg|\.retry)$"
)
_VARS_ENDINGS = ("", ".yml", ".yaml", ".json")


@dataclass(frozen=True)
class Host:
    """One host of the inventory.

    Attributes:
        name: the inventory's name of it, which need not be its address.
        groups: the names of its groups but `all`, sorted: Ansible's group_names.
        vars: its variables, merged; inventory_hostname, inventory_hostname_short, group_names,
            inventory_file and inventory_dir among them. May hold secrets: not shown by repr.
    """

    name: str
    groups: tuple[str, ...]
    vars: Mapping[str, object] = field(repr=False, hash=False)


@dataclass(frozen=True)
class Inventory:
    """All hosts and groups.

    Attributes:
        hosts: in Ansible's order.
        groups: each group's hosts, those of the groups below it included; has `all`, `ungrouped`.
        sources: what was read.
        implicit: localhost by each of its names, for patterns that ask for it unnamed by a source.
        read_order: the hosts' names in the order the sources first give them; globs go by it.
    """

    hosts: tuple[Host, ...]
    groups: Mapping[str, tuple[str, ...]] = field(hash=False)
    sources: tuple[Path, ...] = ()
    implicit: tuple[Host, ...] = ()
    read_order: tuple[str, ...] = ()

    def select(self, pattern: str, limit: str | None = None) -> tuple[Host, ...]:
        """Return the hosts that a pattern means, less those outside the limit.

        Raises:
            InputError: as of patterns.select; never returns nothing.
        """
        by_name = {host.name: host for host in (*self.implicit, *self.hosts)}
        order = self.read_order or tuple(host.name for host in self.hosts)
        names = patterns.select(patterns.Names(order, self.groups), pattern, limit)
        return tuple(by_name[name] for name in names)


def load(sources: Sequence[Path]) -> Inventory:
    """Read inventory sources, each adding to and overriding those before it.

    A source is a file (YAML, JSON, INI), an executable, a directory of these, or a list of hosts
    with a comma in it (`localhost,`).

    Raises:
        InputError: with all mistakes found.
    """
    grouping = Grouping()
    for source in sources:
        try:
            for part in _files_of(source):
                formats.read(grouping, part)
        except InputError as error:
            grouping.mistakes.extend(error.mistakes)
    grouping.settle()
    files = _VarsFiles([folder for source in sources for folder in _folder_of(source)])
    inventory = _merge(grouping, files, tuple(sources))
    if files.mistakes:
        raise InputError(*files.mistakes)
    return inventory


def _files_of(source: Path) -> Iterator[Path]:
    """Give the files of a source: itself or, of a directory, all within that may be inventories."""
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
    """Return where a source's group_vars/ and host_vars/ are; a list of hosts has none."""
    if source.is_dir():
        return [source]
    return [source.parent] if source.exists() else []


def _merge(grouping: Grouping, files: _VarsFiles, sources: tuple[Path, ...]) -> Inventory:
    groups_of = grouping.groups_of_hosts()
    common = dict(grouping.groups[ALL].vars)

    def merged(name: str, own: Mapping[str, object]) -> dict[str, object]:
        groups = groups_of.get(name, ())
        inline = [grouping.groups[group].vars for group in groups]
        from_files = [files.of("group_vars", [ALL]), files.of("group_vars", groups)]
        layers = [common, *inline, *from_files, own, files.of("host_vars", [name])]
        return {key: value for layer in layers for key, value in layer.items()}

    def host(name: str, own: Mapping[str, object], about: Mapping[str, object]) -> Host:
        groups = tuple(sorted(groups_of.get(name, ())))
        return Host(name, groups, {**merged(name, own), **_about(name, groups), **about})

    members = grouping.hosts
    local = {"ansible_connection": "local"}
    return Inventory(
        hosts=tuple(
            host(name, members[name].vars, _origin(members[name].source))
            for name in grouping.members(ALL)
        ),
        groups={name: grouping.members(name) for name in grouping.groups},
        sources=sources,
        implicit=tuple(host(n, local, {}) for n in patterns.LOCALHOSTS if n not in members),
        read_order=tuple(members),
    )


def _about(name: str, groups: tuple[str, ...]) -> dict[str, object]:
    """Return the variables that every host has of itself."""
    is_address = hostnames.is_ipv4(name) or (hostnames.is_ipv6(name) and "%" not in name)
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


class _VarsFiles:
    """The variables in group_vars/ and host_vars/ of some folders; each file is read once."""

    def __init__(self, folders: list[Path]) -> None:
        self.mistakes: list[Mistake] = []
        self._folders = [folder.resolve() for folder in folders]
        self._known: dict[Path, dict[str, object]] = {}

    def of(self, kind: str, names: Sequence[str]) -> dict[str, object]:
        """Merge what all folders say about these groups or hosts; what comes later counts."""
        merged: dict[str, object] = {}
        for folder in self._folders:
            for name in names:
                merged.update(self._of_one(folder / kind, name))
        return merged

    def _of_one(self, folder: Path, name: str) -> dict[str, object]:
        key = folder / name
        if name.startswith("/"):  # as in Ansible: such a name has no files
            return {}
        if key not in self._known:
            self._known[key] = {}
            for path in self._paths(folder, name):
                self._known[key].update(self._read(path))
        return self._known[key]

    def _paths(self, folder: Path, name: str) -> list[Path]:
        """Return the files for one name: all in the folder NAME/, or NAME, NAME.yml ..."""
        if folder.exists() and not folder.is_dir():
            what = f"{folder.name} must be a directory"
            mistake = Mistake("inventory-vars", what, Place(str(folder)))
            self.mistakes += [] if mistake in self.mistakes else [mistake]
            return []
        for ending in _VARS_ENDINGS:
            path = folder / f"{name}{ending}"
            if path.is_dir():
                return list(_vars_files(path))
            if path.exists():
                return [path]
        return []

    def _read(self, path: Path) -> dict[str, object]:
        try:
            document = yamlfile.read(path)
        except InputError as error:
            self.mistakes += error.mistakes
            return {}
        content = document.value or {}
        if not isinstance(content, dict):
            what = "a file of variables must be a mapping, `name: value` a line"
            self.mistakes.append(Mistake("inventory-vars", what, document.place()))
            return {}
        for name in content:
            if not isinstance(name, str):
                what = f"a variable's name must be text, not {name!r}"
                place = document.key_place([name])
                self.mistakes.append(Mistake("inventory-variable", what, place, "put it in quotes"))
        return content


def _vars_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name.endswith("~"):
            continue
        ending = os.path.splitext(path)[1]  # noqa: PTH122 - as in Ansible, also for `name.`
        if path.is_dir() and not ending:
            yield from _vars_files(path)
        elif path.is_file() and ending in _VARS_ENDINGS:
            yield path

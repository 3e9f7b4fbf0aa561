"""Read one inventory source into a Grouping: YAML, JSON, INI, an executable, or a list of hosts.

Promises to choose the format as Ansible does. An executable file that begins with #! or is a
program is asked with --list (and, where its answer has no `_meta`, once a host with --host), within
a time limit. A list of hosts is a source with a comma that is no file: `web1,web2`, `localhost,`.

Stricter than Ansible, which skips with a warning, or without: an unknown key under a group, a group
that is no mapping, a source that is missing or fails. Not supported, and said so: inventory plugins
(files with a `plugin:` key) and TOML.
"""

from __future__ import annotations

import json
import os
import subprocess
from functools import partial
from typing import TYPE_CHECKING

from shipit import yamlfile
from shipit.errors import InputError, Mistake, Place, nearest
from shipit.inventory import hostnames, ini
from shipit.inventory.grouping import UNGROUPED

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.inventory.grouping import Group, Grouping, Where
    from shipit.yamlfile import Document

_SECTIONS = ("hosts", "children", "vars")
_YAML_ENDINGS = ("", ".yaml", ".yml", ".json")
_PROGRAM_STARTS = (b"#!", b"\x7fELF")
_SCRIPT_SECONDS = 30.0
_EXAMPLE = "for example: {all: {hosts: {web1.example.com: }}}"
Loc = tuple[str | int, ...]


def read(grouping: Grouping, source: Path, *, seconds: float = _SCRIPT_SECONDS) -> None:
    """Add what one file, executable or list of hosts says; mistakes go to the grouping.

    Raises:
        InputError: where the source can't be read at all.
    """
    name = str(source)
    if "," in name and not source.exists():
        _read_list(grouping, name)
    elif _is_program(source):
        _Script(grouping, source, seconds).read()
    elif source.suffix == ".toml":
        what = "an inventory in TOML is not supported"
        raise InputError(Mistake("inventory-format", what, Place(name), "use YAML or INI"))
    elif os.path.splitext(name)[1] not in _YAML_ENDINGS:  # noqa: PTH122 - `.hosts` has no suffix, `hosts.` has one: as in Ansible
        ini.read(grouping, name, yamlfile.text_of(source))
    else:
        _read_yaml_or_ini(grouping, source)


def _read_list(grouping: Grouping, source: str) -> None:
    def where() -> Place:
        return Place(source)

    for entry in filter(None, (part.strip() for part in source.split(","))):
        _add_hosts(grouping, entry, source, where, group=grouping.groups[UNGROUPED])


def _read_yaml_or_ini(grouping: Grouping, source: Path) -> None:
    text = yamlfile.text_of(source)
    try:
        document = yamlfile.parse(source, text)
    except InputError:
        if _is_meant_as_yaml(source, text):
            raise
        ini.read(grouping, str(source), text)
        return
    if isinstance(document.value, dict) or not document.value or _is_meant_as_yaml(source, text):
        _Yaml(grouping, document).read()
    else:
        ini.read(grouping, str(source), text)


def _is_meant_as_yaml(source: Path, text: str) -> bool:
    """Guess which format's mistakes to tell; Ansible tells those of both."""
    if source.suffix:
        return not ini.has_sections(text)
    lines = (line.strip() for line in text.splitlines())
    first = next((line for line in lines if line and line[0] not in "#;"), "")
    return first.startswith(("-", "{")) or first.partition(" #")[0].rstrip().endswith(":")


def _add_hosts(
    grouping: Grouping, entry: object, source: str, where: Where, *, group: Group
) -> list[str]:
    """Add the hosts that an entry stands for, and return their names."""
    if not isinstance(entry, str):
        what = f"a host's name must be text, not {entry!r}"
        grouping.wrong("inventory-host", what, where, "put it in quotes")
        return []
    try:
        names, port = hostnames.expand(entry)
    except ValueError as error:
        grouping.wrong("inventory-host", f"'{entry}' is not a host: {error}", where)
        return []
    for name in names:
        grouping.add_host(name, source, where, group=group, port=port)
    return names


class _Yaml:
    """The groups of one YAML or JSON document."""

    def __init__(self, grouping: Grouping, document: Document) -> None:
        self._grouping = grouping
        self._document = document
        self._source = str(document.path)

    def read(self) -> None:
        groups = self._document.value
        if isinstance(groups, dict) and groups.get("plugin"):
            what = "inventory plugins (`plugin:`) are not supported"
            hint = "give an executable that answers --list instead"
            self._grouping.wrong("inventory-plugin", what, self._key(("plugin",)), hint)
        elif isinstance(groups, dict):
            for name, content in groups.items():
                self._read_group((name,), content)
        elif groups:
            what = f"an inventory must be a mapping of groups, not a {type(groups).__name__}"
            self._grouping.wrong("inventory-group", what, self._document.place, _EXAMPLE)

    def _key(self, loc: Loc) -> Where:
        return partial(self._document.key_place, loc)

    def _read_group(self, loc: Loc, content: object) -> Group | None:
        if not (content is None or isinstance(content, dict)):
            what = f"the group '{loc[-1]}' must be a mapping of {', '.join(_SECTIONS)}"
            self._grouping.wrong("inventory-group", what, self._key(loc))
            return None
        group = self._grouping.add_group(loc[-1], self._key(loc))
        if group is not None:
            for section, entries in (content or {}).items():
                self._read_section(group, (*loc, section), entries)
        return group

    def _read_section(self, group: Group, loc: Loc, entries: object) -> None:
        section = loc[-1]
        if section not in _SECTIONS:
            what = f"unknown key '{section}' in the group '{group.name}'"
            self._grouping.wrong("inventory-key", what, self._key(loc), _section_hint(loc))
            return
        if isinstance(entries, str) and section != "vars":
            entries = {entries: None}  # `hosts: web1`, as Ansible allows
        if entries is not None and not isinstance(entries, dict):
            what = f"`{section}` of the group '{group.name}' must be a mapping, one entry a line"
            as_list = "write `name:`, with a colon at the end, not `- name`"
            hint = as_list if isinstance(entries, list) else ""
            self._grouping.wrong("inventory-section", what, self._key(loc), hint)
            return
        for name, content in (entries or {}).items():
            self._read_entry(group, (*loc, name), content)

    def _read_entry(self, group: Group, loc: Loc, content: object) -> None:
        section, name = loc[-2:]
        if section == "vars":
            self._grouping.set_group_var(group, name, content, self._key(loc))
        elif section == "hosts":
            self._read_hosts(group, loc, content)
        else:
            child = self._read_group(loc, content)
            if child is not None:
                self._grouping.add_child(group.name, child.name, self._key(loc))

    def _read_hosts(self, group: Group, loc: Loc, content: object) -> None:
        if content and not isinstance(content, dict):
            what = f"the variables of '{loc[-1]}' must be a mapping, not {content!r}"
            self._grouping.wrong("inventory-variable", what, self._key(loc))
            return
        names = _add_hosts(self._grouping, loc[-1], self._source, self._key(loc), group=group)
        for name in names:
            host = self._grouping.hosts[name]
            for key, value in content.items() if isinstance(content, dict) else ():
                self._grouping.set_var(host.vars, key, value, self._key((*loc, key)))


def _section_hint(loc: Loc) -> str:
    if loc[0] in _SECTIONS:
        return f"'{loc[0]}' is taken for a group here: put it under `all:`"
    return nearest(str(loc[-1]), _SECTIONS) or f"known are {', '.join(_SECTIONS)}"


def _is_program(source: Path) -> bool:
    """Ask whether the file can be run; a mere data file on a foreign disk has the x bit too."""
    if not (source.is_file() and os.access(source, os.X_OK)):
        return False
    try:
        with source.open("rb") as file:
            return file.read(4).startswith(_PROGRAM_STARTS)
    except OSError:  # told by the reading that comes next
        return False


class _Script:
    """The groups that an executable inventory answers with."""

    def __init__(self, grouping: Grouping, source: Path, seconds: float) -> None:
        self._grouping = grouping
        self._source = str(source)
        self._program = str(source.absolute())
        self._seconds = seconds

    def read(self) -> None:
        groups = self._mapping("the answer to --list", self._ask("--list"))
        meta = groups.pop("_meta", None)
        members = [self._group(group, content) for group, content in groups.items()]
        names = dict.fromkeys(name for hosts in members for name in hosts)
        if meta is None:
            known: dict[str, object] = {name: self._ask("--host", name) for name in names}
        else:
            hostvars = self._mapping("_meta", meta).get("hostvars")
            known = self._mapping("_meta.hostvars", hostvars)
        for name in names:
            for key, value in self._mapping(f"the variables of '{name}'", known.get(name)).items():
                self._grouping.set_var(self._grouping.hosts[name].vars, key, value, self._where)

    def _where(self) -> Place:
        return Place(self._source)

    def _failure(self, what: str, hint: str = "") -> InputError:
        return InputError(Mistake("inventory-script", what, self._where(), hint))

    def _mapping(self, what: str, value: object) -> dict[str, object]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self._failure(f"{what} must be a JSON object, not {type(value).__name__}")
        return value

    def _ask(self, *question: str) -> object:
        asked = " ".join(question)
        try:
            answer = subprocess.run(
                [self._program, *question],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self._seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            what = f"the inventory script did not answer {asked} within {self._seconds:g} s"
            raise self._failure(what) from error
        except OSError as error:
            raise self._failure(f"the inventory script cannot be run: {error.strerror}") from error
        if answer.returncode:
            said = answer.stderr.decode(errors="replace").strip()
            what = f"the inventory script ended with status {answer.returncode} on {asked}"
            raise self._failure(what, said)
        if question[0] == "--host" and not answer.stdout.strip():
            return {}
        try:
            return json.loads(answer.stdout)
        except ValueError as error:
            raise self._failure(f"the answer to {asked} is not JSON: {error}") from error

    def _group(self, name: str, content: object) -> list[str]:
        """Add a group and return the names of the hosts in it."""
        group = self._grouping.add_group(name, self._where)
        if isinstance(content, list):  # the oldest form of the answer
            content = {"hosts": content}
        content = self._mapping(f"the group '{name}'", content)
        if group is None or not any(key in content for key in _SECTIONS):
            what = f"the group '{name}' has none of {', '.join(_SECTIONS)}"
            raise self._failure(what, "leave an empty group out")
        hosts = [self._host(group, host) for host in self._names(name, content, "hosts")]
        for key, value in self._mapping(f"'{name}.vars'", content.get("vars")).items():
            self._grouping.set_group_var(group, key, value, self._where)
        for child in self._names(name, content, "children"):
            if self._grouping.add_group(child, self._where):
                self._grouping.add_child(name, child, self._where)
        return hosts

    def _names(self, group: str, content: dict[str, object], section: str) -> list[str]:
        names = content.get(section, [])
        if not isinstance(names, list) or not all(isinstance(n, str) and n for n in names):
            raise self._failure(f"'{group}.{section}' must be a list of names")
        return names

    def _host(self, group: Group, name: str) -> str:
        return self._grouping.add_host(name, self._source, self._where, group=group).name

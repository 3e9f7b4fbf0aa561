"""Read one inventory source into a Grouping: YAML, JSON, INI, an executable, or a list of hosts.

The format is chosen as in Ansible. An executable file that begins with #! or is a program is run
with --list (and, if its answer has no `_meta`, with --host once per host), within a time limit. A
list of hosts is a source with a comma that is not a file: `web1,web2`, `localhost,`. Content
encrypted with ansible-vault is decrypted first.

Stricter than Ansible, which skips these with or without a warning: an unknown key under a group, a
group that is not a mapping, a source that is missing or fails. `is_for_ansible` recognizes plugins
(files with a `plugin:` key) and TOML, which `scripts.read_by_ansible` reads.
"""

from __future__ import annotations

import os
import re
from functools import partial
from typing import TYPE_CHECKING

from shipit import vault, yaml_source
from shipit.errors import InputError, Mistake, Place, nearest
from shipit.inventory import host_ranges, ini
from shipit.inventory.grouping import UNGROUPED
from shipit.inventory.scripts import SECTIONS, Answers

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.inventory.grouping import Group, Grouping, Where
    from shipit.yaml_source import Document

_YAML_ENDINGS = ("", ".yaml", ".yml", ".json")
_PROGRAM_STARTS = (b"#!", b"\x7fELF")
_PLUGIN = re.compile(r"^['\"]?plugin['\"]?\s*:\s*\S", re.MULTILINE)
SCRIPT_SECONDS = 30.0
_EXAMPLE = "for example: {all: {hosts: {web1.example.com: }}}"
Loc = tuple[str | int, ...]


def is_for_ansible(source: Path) -> bool:
    """Whether only ansible-inventory can read this file: it configures a plugin, or is TOML."""
    if not source.is_file() or _is_program(source):
        return False
    if source.suffix == ".toml":
        return True
    try:
        return source.suffix in (".yml", ".yaml") and bool(
            _PLUGIN.search(yaml_source.text_of(source))
        )
    except InputError:  # reported when it is read next
        return False


def read(grouping: Grouping, source: Path, passwords: vault.Passwords = vault.NONE) -> None:
    """Add one file, executable or list of hosts; mistakes are added to the grouping.

    Raises:
        InputError: the source can't be read at all.
    """
    name = str(source)
    if "," in name and not source.exists():
        place = Place(name)
        for entry in filter(None, (part.strip() for part in name.split(","))):
            _add_hosts(grouping, entry, name, lambda: place, group=grouping.groups[UNGROUPED])
    elif _is_program(source):
        Answers(grouping, source, passwords, SCRIPT_SECONDS).read([str(source.absolute())])
    else:
        _read_text(grouping, source, passwords)


def _read_text(grouping: Grouping, source: Path, passwords: vault.Passwords) -> None:
    """Read a text file; report a script that is not executable as such, not line by line."""
    text = yaml_source.text_of(source)
    is_script = text.startswith("#!")
    grouping.is_secret = vault.is_encrypted(text)
    if grouping.is_secret:
        text = passwords.open(text, Place(str(source), 1, 1))
    known = len(grouping.mistakes)
    # Not .suffix: `.hosts` has none, `hosts.` has one: as in Ansible.
    if os.path.splitext(source)[1] in _YAML_ENDINGS:  # noqa: PTH122
        grouping.attempt(_read_yaml_or_ini, grouping, source, text, passwords)
    else:
        ini.read(grouping, str(source), text)
    grouping.is_secret = False
    if is_script and len(grouping.mistakes) > known:
        what = "this begins like a script (#!), but is not executable"
        place, hint = Place(str(source), 1, 1), f"chmod +x {source}"
        grouping.mistakes[known:] = [Mistake("inventory-script", what, place, hint)]


def _read_yaml_or_ini(
    grouping: Grouping, source: Path, text: str, passwords: vault.Passwords
) -> None:
    is_yaml = _is_meant_as_yaml(source, text)
    try:
        document = yaml_source.parse(source, text, passwords)
        if is_yaml or isinstance(document.value, dict) or not document.value:
            _Yaml(grouping, document).read()
            return
    except InputError:
        if is_yaml:
            raise
    ini.read(grouping, str(source), text)


def _is_meant_as_yaml(source: Path, text: str) -> bool:
    """Guess which format's mistakes to report; Ansible reports those of both."""
    if source.suffix:
        return not ini.has_sections(text)
    lines = (line.strip() for line in text.splitlines())
    first = next((line for line in lines if line and line[0] not in "#;"), "")
    return first.startswith(("-", "{")) or first.partition(" #")[0].rstrip().endswith(":")


def _add_hosts(
    grouping: Grouping, entry: object, source: str, where: Where, *, group: Group
) -> list[str]:
    """Add the hosts of an entry, and return their names."""
    if not isinstance(entry, str):
        what = f"a host's name must be text, not {entry!r}"
        grouping.wrong("inventory-host", what, where, "put it in quotes")
        return []
    try:
        names, port = host_ranges.expand(entry)
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

    def read(self) -> None:
        groups = self._document.value
        if isinstance(groups, dict):
            for name, content in groups.items():
                self._read_group((name,), content)
        elif groups:
            what = f"an inventory must be a mapping of groups, not a {type(groups).__name__}"
            self._grouping.wrong("inventory-group", what, self._document.place, _EXAMPLE)

    def _key(self, loc: Loc) -> Where:
        return partial(self._document.key_place, loc)

    def _read_group(self, loc: Loc, content: object) -> Group | None:
        if not (content is None or isinstance(content, dict)):
            what = f"the group '{loc[-1]}' must be a mapping of {', '.join(SECTIONS)}"
            self._grouping.wrong("inventory-group", what, self._key(loc))
            return None
        group = self._grouping.add_group(loc[-1], self._key(loc))
        if group is not None:
            for section, entries in (content or {}).items():
                self._read_section(group, (*loc, section), entries)
        return group

    def _read_section(self, group: Group, loc: Loc, entries: object) -> None:
        section = loc[-1]
        if section not in SECTIONS:
            what = f"unknown key '{section}' in the group '{group.name}'"
            hint = nearest(str(section), SECTIONS) or f"known are {', '.join(SECTIONS)}"
            if loc[0] in SECTIONS:
                hint = f"'{loc[0]}' is read as a group here: put it under `all:`"
            self._grouping.wrong("inventory-key", what, self._key(loc), hint)
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
        source = str(self._document.path)
        for name in _add_hosts(self._grouping, loc[-1], source, self._key(loc), group=group):
            host = self._grouping.hosts[name]
            for key, value in content.items() if isinstance(content, dict) else ():
                self._grouping.set_var(host.vars, key, value, self._key((*loc, key)))


def _is_program(source: Path) -> bool:
    """Whether the file can be run; a data file on a foreign disk may have the x bit as well."""
    if not (source.is_file() and os.access(source, os.X_OK)):
        return False
    try:
        with source.open("rb") as file:
            return file.read(4).startswith(_PROGRAM_STARTS)
    except OSError:  # reported when it is read next
        return False

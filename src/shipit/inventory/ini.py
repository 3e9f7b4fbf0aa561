"""Read an inventory in Ansible's INI format into a Grouping.

The result is Ansible's: host lines with key=value, [group:children], [group:vars], and values that
look like Python literals (numbers, True, lists) become these. It reads no group_vars.
"""

from __future__ import annotations

import ast
import re
import shlex
import warnings
from typing import TYPE_CHECKING

from shipit.errors import Place, nearest
from shipit.inventory import host_ranges
from shipit.inventory.grouping import UNGROUPED

if TYPE_CHECKING:
    from shipit.inventory.grouping import Grouping, Where

_SECTION = re.compile(r"\[([^:\]\s]+)(?::(\w+))?\]\s*(?:#.*)?")
_GROUP_NAME = re.compile(r"([^:\]\s]+)\s*(?:#.*)?")
_KINDS = ("hosts", "children", "vars")


def read(grouping: Grouping, source: str, text: str) -> None:
    """Add an INI inventory; mistakes are added to the grouping."""
    ini = _Ini(grouping, source)
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped and stripped[0] not in "#;":
            ini.line(stripped, Place(source, number, line.index(stripped[0]) + 1))
    ini.close()


def has_sections(text: str) -> bool:
    """Whether any line is a section header, which no line of a YAML inventory is."""
    return any(_SECTION.fullmatch(line.strip()) for line in text.splitlines())


def value(text: str) -> object:
    """Return the value of a variable's text: a Python literal if it is one, else the text."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a backslash in a Windows path is not a mistake
            return _plain(ast.literal_eval(text))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def _plain(literal: object) -> object:
    """Convert Python values that YAML lacks to those that it has."""
    if isinstance(literal, (list, tuple, set)):
        return [_plain(item) for item in literal]
    if isinstance(literal, dict):
        return {key: _plain(item) for key, item in literal.items()}
    if isinstance(literal, bytes):
        return literal.decode(errors="surrogateescape")
    if literal is ...:
        return "..."
    return str(literal) if isinstance(literal, complex) else literal


class _Ini:
    """The state of reading a file: its current section, and groups named but not yet declared."""

    def __init__(self, grouping: Grouping, source: str) -> None:
        self._grouping = grouping
        self._source = source
        self._kind = "hosts"
        self._group = UNGROUPED
        self._declared = set(grouping.groups)
        self._undeclared: dict[str, list[tuple[str, Where]]] = {}  # child -> its parents
        self._vars_of: dict[str, Where] = {}

    def line(self, line: str, place: Place) -> None:
        def where() -> Place:
            return place

        section = _SECTION.fullmatch(line)
        if section:
            self._begin(section[1], section[2] or "hosts", where)
        elif line.startswith("[") and line.endswith("]"):
            what = f"{line} is not a section: its name may have no spaces, and one colon at most"
            self._grouping.wrong("inventory-section", what, where)
        elif self._kind == "hosts":
            self._host(line, where)
        elif self._kind == "children":
            self._child(line, where)
        elif self._kind == "vars":
            self._var(line, where)

    def close(self) -> None:
        """Report the groups that were named and never declared."""
        for child, parents in self._undeclared.items():
            parent, where = parents[-1]
            what = f"[{parent}:children] names the group '{child}', which is not declared"
            self._report_undeclared(child, what, where)
        for name, where in self._vars_of.items():
            what = f"[{name}:vars] is for the group '{name}', which is not declared"
            self._report_undeclared(name, what, where)

    def _report_undeclared(self, name: str, what: str, where: Where) -> None:
        hint = nearest(name, self._declared) or f"add a section [{name}]"
        self._grouping.wrong("inventory-group-unknown", what, where, hint)

    def _begin(self, name: str, kind: str, where: Where) -> None:
        self._group, self._kind = name, kind
        if kind not in _KINDS:
            what = f"[{name}:{kind}] is not a known kind of section"
            hint = nearest(kind, _KINDS) or f"known are {', '.join(_KINDS)}"
            self._grouping.wrong("inventory-section", what, where, hint)
            return
        self._grouping.add_group(name, where)
        if kind != "vars":
            self._declared.add(name)
            self._vars_of.pop(name, None)
            for parent, place in self._undeclared.pop(name, []):
                self._grouping.add_child(parent, name, place)
        elif name not in self._declared and name not in self._undeclared:
            self._vars_of.setdefault(name, where)

    def _host(self, line: str, where: Where) -> None:
        pattern = line
        try:
            pattern, *pairs = shlex.split(line, comments=True)
            names, port = host_ranges.expand(pattern)
        except ValueError as error:
            what = f"'{pattern}' is not a host: {error}"
            self._grouping.wrong("inventory-host", what, where)
            return
        variables: dict[str, object] = {}
        for pair in pairs:
            key, equals, text = pair.partition("=")
            if equals:
                self._grouping.set_var(variables, key, value(text), where)
            else:
                what = f"expected key=value after the host's name, found '{pair}'"
                self._grouping.wrong("inventory-variable", what, where)
        for name in names:
            group = self._grouping.groups[self._group]
            host = self._grouping.add_host(name, self._source, where, group=group, port=port)
            host.vars.update(variables)

    def _var(self, line: str, where: Where) -> None:
        name, equals, text = line.partition("=")
        if equals:
            group = self._grouping.groups[self._group]
            self._grouping.set_group_var(group, name.strip(), value(text.strip()), where)
        else:
            what = f"expected key=value, found '{line}'"
            self._grouping.wrong("inventory-variable", what, where)

    def _child(self, line: str, where: Where) -> None:
        found = _GROUP_NAME.fullmatch(line)
        if not found:
            what = f"expected a group's name, found '{line}'"
            self._grouping.wrong("inventory-name", what, where)
        elif found[1] in self._grouping.groups:
            self._grouping.add_child(self._group, found[1], where)
        else:
            self._undeclared.setdefault(found[1], []).append((self._group, where))

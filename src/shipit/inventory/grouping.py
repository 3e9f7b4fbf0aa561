"""Collect hosts and groups while inventory sources are read, in Ansible's order and structure.

Groups form no cycle; every host is in `all` and, if in no other group, in `ungrouped`. Mistakes are
collected, so that all are reported at once; use a Grouping only after `settle`. It reads no files
and knows no format.

Stricter than Ansible, which only warns or stays silent: a host and a group may not share a name (a
pattern would select the host alone), `ungrouped` may be under no group but `all`, and a variable's
name is text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from shipit.errors import ErrorCollector, InputError, Mistake, Place
from shipit.secrets import Secret
from shipit.yaml_tags import mapped

ALL = "all"
UNGROUPED = "ungrouped"
Where = Callable[[], Place]  # called only for a mistake, because finding a place takes time


@dataclass
class Group:
    """A group as the sources describe it; the dicts are ordered sets of names."""

    name: str
    where: Where
    hosts: dict[str, None] = field(default_factory=dict)
    children: dict[str, None] = field(default_factory=dict)
    parents: dict[str, None] = field(default_factory=dict)
    vars: dict[str, object] = field(default_factory=dict)
    priority: int = 1


@dataclass
class Member:
    """A host as the sources describe it; `source` is the first one that names it."""

    name: str
    source: str
    where: Where
    vars: dict[str, object] = field(default_factory=dict)


class Grouping(ErrorCollector):
    """The groups and hosts of all sources, and the mistakes in them."""

    def __init__(self) -> None:
        super().__init__()
        self.groups: dict[str, Group] = {}
        self.hosts: dict[str, Member] = {}
        self.is_secret = False  # while a source that was encrypted is read
        for name in (ALL, UNGROUPED):
            self.groups[name] = Group(name, lambda: Place(""))
        self._link(ALL, UNGROUPED)

    def wrong(self, code: str, what: str, where: Where, hint: str = "") -> None:
        self.mistakes.append(Mistake(code, what, where(), hint))

    def add_group(self, name: object, where: Where) -> Group | None:
        """Return the group of this name, created if new; None if the name is invalid."""
        if not isinstance(name, str) or not name:
            what = f"a group's name must be text, not {name!r}"
            self.wrong("inventory-name", what, where, "put it in quotes")
            return None
        return self.groups.setdefault(name, Group(name, where))

    def add_host(
        self, name: str, source: str, where: Where, *, group: Group | None, port: int | None = None
    ) -> Member:
        """Return the host of this name, created if new. Only a new host takes the port."""
        if name not in self.hosts:
            self.hosts[name] = Member(name, source, where)
            if port:
                self.hosts[name].vars["ansible_port"] = port
        if group is not None:
            group.hosts[name] = None
        return self.hosts[name]

    def add_child(self, parent: str, child: str, where: Where) -> None:
        """Put one known group under another, unless that would close a cycle."""
        if child in (parent, ALL) or child in self.above([parent]):
            what = f"the group '{child}' cannot be under '{parent}': it already contains it"
            self.wrong("inventory-circle", what, where, "remove one of the two from `children`")
        elif child == UNGROUPED and parent != ALL:
            what = f"'{UNGROUPED}' cannot be under '{parent}': it is for hosts without a group"
            self.wrong("inventory-ungrouped", what, where, "put these hosts into a named group")
        else:
            self._link(parent, child)

    def set_group_var(self, group: Group, name: object, value: object, where: Where) -> None:
        if name != "ansible_group_priority":
            self.set_var(group.vars, name, value, where)
            return
        try:
            group.priority = int(str(value))
        except ValueError:
            what = f"ansible_group_priority must be a whole number, not {value!r}"
            self.wrong("inventory-priority", what, where)

    def set_var(self, onto: dict[str, object], name: object, value: object, where: Where) -> None:
        if isinstance(name, str) and name:
            onto[name] = mapped(value, Secret) if self.is_secret else value
        else:
            what = f"a variable's name must be text, not {name!r}"
            self.wrong("inventory-variable", what, where, "put it in quotes")

    def settle(self) -> None:
        """Put every group under `all` and every host into a group.

        Raises:
            InputError: with all mistakes found so far.
        """
        for name, group in self.groups.items():
            if name != ALL and not group.parents:
                self._link(ALL, name)
        for name, direct in self._direct_groups().items():
            if not self.above(direct) - {ALL, UNGROUPED}:
                self.groups[UNGROUPED].hosts[name] = None
            else:
                self.groups[UNGROUPED].hosts.pop(name, None)
        for name in self.hosts:
            # A group whose only member is the host of the same name is not ambiguous.
            if name in self.groups and self.members(name) != (name,):
                what = f"'{name}' is the name of both a group and a host"
                hint = f"rename one of them: the pattern `{name}` would mean the host alone"
                self.wrong("inventory-name-twice", what, self.hosts[name].where, hint)
        if self.mistakes:
            raise InputError(*self.mistakes)

    def members(self, name: str) -> tuple[str, ...]:
        """Return the hosts in a group and in those below it, level by level."""
        level, seen = [name], {name}
        found: dict[str, None] = {}
        while level:
            for group in level:
                found.update(self.groups[group].hosts)
            below = dict.fromkeys(c for group in level for c in self.groups[group].children)
            level = [child for child in below if child not in seen]
            seen.update(level)
        return tuple(found)

    def above(self, names: list[str]) -> set[str]:
        """Return these groups and all those that contain them."""
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting.extend(self.groups[name].parents)
        return found

    def groups_of_hosts(self) -> dict[str, tuple[str, ...]]:
        """Return each host's groups except `all`, by ascending precedence."""
        depths = {ALL: 0}  # the length of the longest path from `all` to each group
        level = [ALL]
        while level:
            below = {
                child: depths[name] + 1 for name in level for child in self.groups[name].children
            }
            # A group found again at a deeper level moves down, with all groups below it.
            depths.update(below)
            level = list(below)

        def rank(name: str) -> tuple[int, int, str]:
            return depths[name], self.groups[name].priority, name

        return {
            host: tuple(sorted(self.above(groups) - {ALL}, key=rank))
            for host, groups in self._direct_groups().items()
        }

    def _direct_groups(self) -> dict[str, list[str]]:
        """Return for each host the groups that list it directly."""
        direct: dict[str, list[str]] = {name: [] for name in self.hosts}
        for group in self.groups.values():
            for host in group.hosts:
                direct[host].append(group.name)
        return direct

    def _link(self, parent: str, child: str) -> None:
        self.groups[parent].children[child] = None
        self.groups[child].parents[parent] = None

"""A lock of any format: exact versions with their sha256 digests.

Selects the entries that a host needs. Resolves nothing and reads no file.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet

from shipit.agent.protocol.values import dataclass
from shipit.errors import InputError, Mistake, Place, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from packaging.markers import Environment, Marker


@dataclass(frozen=True)
class Parts:
    """The optional parts of a project that are wanted: its extras and dependency groups."""

    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


MAIN = Parts()


@dataclass(frozen=True)
class Need:
    """A dependency of an entry, in a lock that is a graph."""

    name: str
    version: str = ""  # empty if the lock holds one version only
    extras: tuple[str, ...] = ()
    marker: Marker | None = None
    source: str = ""  # selects one of several entries of that name and version


@dataclass(frozen=True)
class Origin:
    """The source of a distribution that is not on an index; one of that name there is another.

    Attributes:
        what: the source, as a message continues after "is locked to".
        get: the command that builds or fetches its wheel, with {} for the wheelhouse.
        source: the folder, the URL or path of the file, or git+URL@COMMIT, as pip takes it.
        is_tree: whether it is a folder or a repository; no lock has a hash of these.
        is_wheel: whether it is a wheel.
    """

    what: str
    get: str
    source: str
    is_tree: bool = False
    is_wheel: bool = False


@dataclass(frozen=True)
class Locked:
    """One version of one distribution; names are normalized, digests are sha256 in hexadecimal."""

    name: str
    version: str
    digests: frozenset[str]
    place: Place
    marker: Marker | None = None
    needs: tuple[Need, ...] = ()
    extra_needs: Mapping[str, tuple[Need, ...]] = field(default_factory=dict)
    group_needs: Mapping[str, tuple[Need, ...]] = field(default_factory=dict)
    sources: frozenset[str] = frozenset()  # digests of its sdists
    origin: Origin | None = None  # where it comes from, if from no index
    source: str = ""  # which of several entries of that name and version
    urls: Mapping[str, str] = field(default_factory=dict)  # of its wheels, by their digests

    @property
    def pin(self) -> str:
        return f"{self.name}=={self.version}" if self.version else self.name

    @property
    def is_own(self) -> bool:
        """Whether it is built from the project's own source, of which no lock has a hash."""
        return self.origin is not None and self.origin.is_tree and not self.digests

    def is_for(self, name: str, version: str) -> bool:
        """Whether a wheel of this name and version matches this entry."""
        return name == self.name and self.version in ("", version)


@dataclass(frozen=True)
class Lock:
    """All entries of a lock, for any host."""

    path: Path
    entries: tuple[Locked, ...]
    requires_python: SpecifierSet = field(default_factory=SpecifierSet)
    groups: frozenset[str] = frozenset()  # pylock's default groups
    environments: tuple[Marker, ...] = ()  # a host must match one of these, if there are any
    is_graph: bool = False  # uv.lock: an entry is wanted if the app depends on it
    parts: Parts = MAIN

    def without(self, app: str) -> Lock:
        """Return this lock without the app itself, whose wheel the playbook names."""
        return replace(self, entries=tuple(entry for entry in self.entries if entry.name != app))

    def unconditional(self) -> tuple[Locked, ...]:
        """Return the entries that every host needs."""
        needed = () if self.is_graph else self.entries
        return tuple(entry for entry in needed if entry.marker is None)

    def wanted(self, app: str, markers: Environment) -> tuple[Locked, ...]:
        """Return the entries that a host with these markers needs, sorted by name, without the app.

        Raises:
            InputError: a marker can't be evaluated, the app is not in the graph, or the host needs
                two versions of one distribution.
        """
        environment: dict[str, str | frozenset[str]] = {
            **{name: str(value) for name, value in markers.items()},
            "extra": "",  # locks exported with their extras have `extra == ...` on some lines
            "extras": frozenset(self.parts.extras),
            "dependency_groups": self.groups | {*self.parts.groups},
        }
        place = Place(str(self.path))
        others = self.environments
        if others and not any(applies(marker, environment, place) for marker in others):
            what = f"the lock is for other machines: {' or '.join(map(str, others))}"
            hint = "lock for the hosts' platform and Python, too"
            raise InputError(Mistake("wrong-environment", what, place, hint))
        reached = self._reached(app, environment) if self.is_graph else self.entries
        wanted: dict[str, Locked] = {}
        for entry in reached:
            if entry.name == app or not self._applies(entry, environment):
                continue
            known = wanted.setdefault(entry.name, entry)
            if known.version != entry.version:
                what = f"{known.pin} ({known.place}) and {entry.pin} are both wanted by one host"
                raise InputError(Mistake("locked-twice", what, entry.place, how_to_lock(self.path)))
            wanted[entry.name] = replace(known, digests=known.digests | entry.digests)
        return tuple(sorted(wanted.values(), key=lambda entry: entry.name))

    def _applies(self, entry: Locked, environment: Mapping[str, str | frozenset[str]]) -> bool:
        """Whether a host needs an entry, for the project itself or for one of its extras."""
        return any(
            applies(entry.marker, {**environment, "extra": extra}, entry.place)
            for extra in ("", *self.parts.extras)
        )

    def _reached(self, app: str, environment: Mapping[str, str | frozenset[str]]) -> list[Locked]:
        """Return the entries that the app depends on; an extra adds dependencies to an entry."""
        by_name: dict[str, list[Locked]] = defaultdict(list)
        for entry in self.entries:
            by_name[entry.name].append(entry)
        if app not in by_name:
            what = f"{self.path.name} has no package {app}, so it is the lock of another project"
            raise InputError(Mistake("foreign-lock", what, Place(str(self.path)), "run: uv lock"))
        todo, seen, reached = self._roots(app, by_name[app]), set(), {}
        while todo:
            need = todo.pop()
            for entry in by_name[need.name]:
                if need.version not in ("", entry.version) or need.source not in ("", entry.source):
                    continue
                reached[entry.pin + entry.source] = entry
                for extra in {"", *need.extras}:
                    if (entry.pin, entry.source, extra) in seen:
                        continue
                    seen.add((entry.pin, entry.source, extra))
                    needs = entry.extra_needs.get(extra, ()) if extra else entry.needs
                    todo += [n for n in needs if applies(n.marker, environment, entry.place)]
        return list(reached.values())

    def _roots(self, app: str, entries: Sequence[Locked]) -> list[Need]:
        """Return what the graph is walked from: the app with its extras, and its groups' needs.

        Raises:
            InputError: it has no such extra or group.
        """
        known = {"extra": Counter[str](), "group": Counter[str]()}
        for entry in entries:
            known["extra"].update(entry.extra_needs)
            known["group"].update(entry.group_needs)
        for kind, names in (("extra", self.parts.extras), ("group", self.parts.groups)):
            for name in names:
                if name not in known[kind]:
                    raise unknown_part(kind, name, known[kind], self.path)
        needs = [n for e in entries for name in self.parts.groups for n in e.group_needs[name]]
        return [Need(app, extras=self.parts.extras), *needs]


def unknown_part(kind: str, name: str, known: Iterable[str], path: Path) -> InputError:
    """Return the error for a group or an extra that a lock does not have."""
    what = f"{path.name} has no {kind} {name!r}"
    hint = nearest(name, sorted(known)) or f"known: {', '.join(sorted(known)) or 'none'}"
    return InputError(Mistake("unknown-part", what, Place(str(path)), hint))


def applies(
    marker: Marker | None, environment: Mapping[str, str | frozenset[str]], place: Place
) -> bool:
    try:
        return marker is None or marker.evaluate(environment, context="lock_file")
    except ValueError as error:  # UndefinedComparison and its like, or a number without end
        what = f"the marker `{marker}` can't be decided for a host: {error}"
        raise InputError(Mistake("undecidable-marker", what, place)) from error


def how_to_lock(file: str | Path) -> str:
    name = Path(file).name
    return f"write the lock with: uv pip compile --generate-hashes requirements.in -o {name}"

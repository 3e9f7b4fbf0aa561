"""Read a lock: requirements with hashes, pylock.toml (PEP 751) or uv.lock.

Promises that every entry is one exact version with its sha256 digests, and that a mistake is told
with its line. Resolves nothing, asks no index, and accepts no URL, path or version-control source.
"""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from packaging.markers import Marker, UndefinedComparison, UndefinedEnvironmentName
from packaging.pylock import Package, Pylock, PylockValidationError
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from shipit.errors import InputError, Mistake, Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from packaging.markers import Environment

HOW_TO_LOCK = "write the lock with: uv pip compile --generate-hashes requirements.in -o {}"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Need:
    """A dependency of an entry, in locks that are graphs."""

    name: str
    version: str = ""  # empty where the lock holds one version only
    extras: tuple[str, ...] = ()
    marker: Marker | None = None


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

    @property
    def pin(self) -> str:
        return f"{self.name}=={self.version}"


@dataclass(frozen=True)
class Lock:
    """All entries of a lock, whether a host wants them or not."""

    path: Path
    entries: tuple[Locked, ...]
    requires_python: SpecifierSet = field(default_factory=SpecifierSet)
    groups: frozenset[str] = frozenset()  # pylock's default groups
    is_graph: bool = False  # uv.lock: an entry is wanted if the app's needs lead to it

    def without(self, app: str) -> Lock:
        """Return this lock without the app itself: its wheel is given, not looked up."""
        return replace(self, entries=tuple(entry for entry in self.entries if entry.name != app))

    def unconditional(self) -> tuple[Locked, ...]:
        """Return the entries that every host wants."""
        if self.is_graph:
            return ()
        return tuple(entry for entry in self.entries if entry.marker is None)

    def wanted(self, app: str, markers: Environment) -> tuple[Locked, ...]:
        """Return the entries that a host with these markers wants, without the app, by name.

        Raises:
            InputError: a marker can't be decided, the app is not in a graph, or two versions of
                one distribution are wanted.
        """
        environment: dict[str, str | frozenset[str]] = {
            **{name: str(value) for name, value in markers.items()},
            "extra": "",  # locks exported with their extras have `extra == ...` on some lines
            "extras": frozenset(),
            "dependency_groups": self.groups,
        }
        reached = self._reached(app, environment) if self.is_graph else self.entries
        wanted: dict[str, Locked] = {}
        for entry in reached:
            if entry.name == app or not _applies(entry.marker, environment, entry.place):
                continue
            known = wanted.setdefault(entry.name, entry)
            if known.version != entry.version:
                what = f"{known.pin} ({known.place}) and {entry.pin} are both wanted by one host"
                raise InputError(Mistake("locked-twice", what, entry.place, _lock_anew(self.path)))
            wanted[entry.name] = replace(known, digests=known.digests | entry.digests)
        return tuple(sorted(wanted.values(), key=lambda entry: entry.name))

    def _reached(self, app: str, environment: Mapping[str, str | frozenset[str]]) -> list[Locked]:
        """Follow the needs from the app on; an extra adds needs to the entry it is asked of."""
        by_name: dict[str, list[Locked]] = defaultdict(list)
        for entry in self.entries:
            by_name[entry.name].append(entry)
        if app not in by_name:
            what = f"{self.path.name} has no package {app}, so it is the lock of another project"
            raise InputError(Mistake("foreign-lock", what, Place(str(self.path)), "run: uv lock"))
        todo, seen, reached = [Need(app)], set(), {}
        while todo:
            need = todo.pop()
            for entry in by_name[need.name]:
                if need.version and need.version != entry.version:
                    continue
                reached[entry.pin] = entry
                for extra in {"", *need.extras}:
                    if (entry.pin, extra) in seen:
                        continue
                    seen.add((entry.pin, extra))
                    needs = entry.extra_needs.get(extra, ()) if extra else entry.needs
                    todo += [n for n in needs if _applies(n.marker, environment, entry.place)]
        return list(reached.values())


def read(path: Path) -> Lock:
    """Read a lock; its name says the format: uv.lock, *.toml, anything else is requirements.

    Raises:
        InputError: with every mistake in it.
    """
    if path.name == "uv.lock":
        return _read_uv(path)
    if path.suffix == ".toml":
        return _read_pylock(path)
    return Lock(path, tuple(_read_requirements(path, frozenset())))


def _applies(
    marker: Marker | None, environment: Mapping[str, str | frozenset[str]], place: Place
) -> bool:
    try:
        return marker is None or marker.evaluate(environment, context="lock_file")
    except (UndefinedComparison, UndefinedEnvironmentName) as error:
        what = f"the marker `{marker}` can't be decided for a host: {error}"
        raise InputError(Mistake("undecidable-marker", what, place)) from error


def _lock_anew(path: Path) -> str:
    return HOW_TO_LOCK.format(path.name)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        what = f"{path.name} is no UTF-8 text"
        raise InputError(Mistake("unreadable-lock", what, Place(str(path)))) from error
    except OSError as error:
        what = f"the lock can't be read: {error.strerror}"
        raise InputError(
            Mistake("missing-lock", what, Place(str(path)), _lock_anew(path))
        ) from error


# --- requirements with hashes, as pip and uv write and read them


@dataclass(frozen=True)
class _Line:
    """A logical line: continuations joined, comments gone."""

    text: str
    place: Place


def _lines(text: str, path: Path) -> Iterator[_Line]:
    pending, start = "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        start = start if pending else number
        # pip: a `#` begins a comment at the start of a line or after white space.
        line = re.sub(r"(^|\s)#.*$", "", raw).rstrip()
        if line.endswith("\\"):
            pending += line[:-1] + " "
            continue
        joined, pending = (pending + line).strip(), ""
        if joined:
            yield _Line(joined, Place(str(path), start, 1))
    if pending.strip():
        yield _Line(pending.strip(), Place(str(path), start, 1))


def _read_requirements(path: Path, included_from: frozenset[Path]) -> list[Locked]:
    entries: list[Locked] = []
    mistakes: list[Mistake] = []
    for line in _lines(_text(path), path):
        try:
            if not line.text.startswith("-"):
                entries.append(_requirement(line))
            elif nested := re.match(r"(?:-r|--requirement)[\s=]*(\S+)", line.text):
                inner = path.parent / nested[1]
                entries += _included(inner, included_from | {path}, line)
            else:
                _refuse_option(line)
        except InputError as error:
            mistakes += error.mistakes
    if mistakes:
        raise InputError(*mistakes)
    return entries


def _included(path: Path, included_from: frozenset[Path], line: _Line) -> list[Locked]:
    if path in included_from:
        what = f"{path.name} includes itself"
        raise InputError(Mistake("include-loop", what, line.place, "remove this line"))
    return _read_requirements(path, included_from)


def _refuse_option(line: _Line) -> None:
    """Refuse what would change the bundle; options about indexes have no meaning here."""
    word = re.split(r"[\s=]", line.text, maxsplit=1)[0]
    if word in {"-e", "--editable"}:
        raise _unpinned(line, "an editable project can't be shipped")
    if word == "--hash":
        what = "a --hash that belongs to no requirement"
        hint = "end the line before it with a backslash"
        raise InputError(Mistake("lock-syntax", what, line.place, hint))


def _unpinned(line: _Line, why: str) -> InputError:
    what = f"{why}: `{line.text.split(' --hash')[0]}`; expected name==version with hashes"
    hint = "build a wheel of it, put it into the wheelhouse and lock name==version"
    return InputError(Mistake("not-pinned", what, line.place, hint))


def _requirement(line: _Line) -> Locked:
    text, *options = re.split(r"\s+(?=--?[a-z])", line.text)
    if re.match(r"[./]|[a-z+]+:", text) or text.endswith((".whl", ".tar.gz", ".zip")):
        raise _unpinned(line, "a URL or a path is no locked version")
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise _syntax(line, str(error)) from error
    if requirement.url:
        raise _unpinned(line, "a URL is no locked version")
    return Locked(
        canonicalize_name(requirement.name),
        _exact_version(requirement, line),
        _digests(requirement.name, options, line),
        line.place,
        requirement.marker,
    )


def _syntax(line: _Line, message: str) -> InputError:
    """Turn packaging's message, whose last line points at the column with a ^, into a mistake."""
    what, *_, pointer = message.splitlines() or [""]
    column = max(pointer.find("^") - 4, 0) + 1  # it indents what it quotes by four
    place = replace(line.place, column=column)
    return InputError(Mistake("lock-syntax", f"no requirement: {what}", place))


def _exact_version(requirement: Requirement, line: _Line) -> str:
    operators = [specifier.operator for specifier in requirement.specifier]
    versions = [specifier.version for specifier in requirement.specifier]
    if operators not in (["=="], ["==="]) or versions[0].endswith(".*"):
        raise _unpinned(line, "no exact version")
    try:
        return str(Version(versions[0]))
    except InvalidVersion as error:
        raise _unpinned(line, "no valid version") from error


def _digests(name: str, options: list[str], line: _Line) -> frozenset[str]:
    hashes = [option.partition("=")[2].strip() for option in options if option[:6] == "--hash"]
    digests = [text.removeprefix("sha256:") for text in hashes if text[:7] == "sha256:"]
    hint = _lock_anew_of(line.place)
    if not digests:
        kind = "no sha256 hash" if hashes else "no hash"
        raise InputError(Mistake("no-hash", f"{name} has {kind}", line.place, hint))
    for digest in digests:
        if not _SHA256.fullmatch(digest):
            what = f"{name} has a broken hash `sha256:{digest}`; expected 64 hexadecimal digits"
            raise InputError(Mistake("broken-hash", what, line.place, hint))
    return frozenset(digests)


def _lock_anew_of(place: Place) -> str:
    return HOW_TO_LOCK.format(place.file.rpartition("/")[2])


# --- the two TOML formats


def _toml(path: Path) -> tuple[dict[str, Any], list[Place]]:
    """Return the document, and the place of each of its [[package(s)]] tables in order."""
    text = _text(path)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        place = Place(str(path), *(int(number) for number in at.groups()) if at else ())
        raise InputError(Mistake("lock-syntax", f"no TOML: {error}", place)) from error
    places = [
        Place(str(path), number, 1)
        for number, line in enumerate(text.splitlines(), 1)
        if re.fullmatch(r"\s*\[\[\s*packages?\s*\]\]\s*(#.*)?", line)
    ]
    return document, places


def _place(places: list[Place], index: int, path: Path) -> Place:
    return places[index] if index < len(places) else Place(str(path))  # inline tables


def _read_pylock(path: Path) -> Lock:
    document, places = _toml(path)
    try:
        lock = Pylock.from_dict(document)
    except PylockValidationError as error:
        at = re.match(r"packages\[(\d+)\]", error.context or "")
        place = _place(places, int(at[1]), path) if at else Place(str(path))
        raise InputError(Mistake("lock-syntax", f"no valid pylock.toml: {error}", place)) from error
    entries: list[Locked] = []
    mistakes: list[Mistake] = []
    for index, package in enumerate(lock.packages):
        try:
            entries.append(_pylock_entry(package, _place(places, index, path)))
        except InputError as error:
            mistakes += error.mistakes
    if mistakes:
        raise InputError(*mistakes)
    python = lock.requires_python or SpecifierSet()
    return Lock(path, tuple(entries), python, frozenset(lock.default_groups or ()))


def _pylock_entry(package: Package, place: Place) -> Locked:
    wheels = package.wheels or ()
    if package.is_direct and package.directory is None:
        what = f"{package.name} is locked to a URL or an archive; expected a version with wheels"
        raise InputError(Mistake("not-pinned", what, place, _lock_anew_of(place)))
    digests = frozenset(wheel.hashes["sha256"] for wheel in wheels if "sha256" in wheel.hashes)
    if wheels and not digests:
        what = f"{package.name} has no sha256 hash"
        raise InputError(Mistake("no-hash", what, place, _lock_anew_of(place)))
    # A directory is the project itself: it has no version here, and the app is not looked up.
    return Locked(package.name, str(package.version or ""), digests, place, package.marker)


def _read_uv(path: Path) -> Lock:
    document, places = _toml(path)
    try:
        entries = tuple(
            _uv_entry(package, _place(places, index, path))
            for index, package in enumerate(document["package"])
        )
        python = SpecifierSet(document.get("requires-python", ""))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        what = f"no uv.lock that is understood ({type(error).__name__}: {error})"
        raise InputError(
            Mistake("lock-syntax", what, Place(str(path)), "run: uv lock, or: uv export")
        ) from error
    return Lock(path, entries, python, is_graph=True)


def _uv_entry(package: Mapping[str, Any], place: Place) -> Locked:
    digests = [wheel["hash"] for wheel in package.get("wheels", ()) if "hash" in wheel]
    return Locked(
        canonicalize_name(package["name"]),
        str(package.get("version", "")),
        frozenset(text.removeprefix("sha256:") for text in digests if text[:7] == "sha256:"),
        place,
        needs=_uv_needs(package.get("dependencies", ())),
        extra_needs={
            canonicalize_name(extra): _uv_needs(needs)
            for extra, needs in package.get("optional-dependencies", {}).items()
        },
    )


def _uv_needs(needs: list[Mapping[str, Any]]) -> tuple[Need, ...]:
    return tuple(
        Need(
            canonicalize_name(need["name"]),
            str(need.get("version", "")),
            tuple(canonicalize_name(extra) for extra in need.get("extra", ())),
            Marker(need["marker"]) if "marker" in need else None,
        )
        for need in needs
    )

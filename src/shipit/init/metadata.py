"""What a project says of itself in pyproject.toml, its requirements and its locks.

A file that is broken counts as missing, with a note. Resolves nothing.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name

from shipit.errors import Place
from shipit.init.project_files import REQUIREMENTS, Note
from shipit.project.source import LOCKS, PYPROJECT, is_package

if TYPE_CHECKING:
    from shipit.init.project_files import ProjectFiles

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LOCKED = re.compile(r'^name = "([^"]+)"|^ {8}"([A-Za-z0-9._-]+)": \{')  # TOML; Pipfile.lock
_PYTHON = re.compile(r"(?:python-|cpython-)?(3\.\d+)(?:\.\d+)?\s*")
_HASH = re.compile(r"--hash[= ]sha256:")

Named = Mapping[str, Place]


@dataclass(frozen=True)
class Metadata:
    """A project, or a member of a workspace.

    Attributes:
        folder: its folder: "", or a path that ends in a slash.
        name_key: the key that has its name.
        python: which Pythons it accepts, if it says so.
        builds: where its build system is named, if it has one.
        dependencies: every package that it names or that its lock has, with the first place.
        members: the folders of its workspace.
    """

    folder: str = ""
    name: str = ""
    name_place: Place | None = None
    name_key: str = ""
    python: str = ""
    python_place: Place | None = None
    builds: Place | None = None
    scripts: Named = field(default_factory=dict)
    extras: Named = field(default_factory=dict)
    groups: Named = field(default_factory=dict)
    dependencies: Named = field(default_factory=dict)
    members: tuple[str, ...] = ()


@dataclass(frozen=True)
class LockFile:
    """What a release's dependencies are taken from.

    Attributes:
        unlocked: the first requirement without a hash; None if every version has one.
    """

    path: str
    unlocked: Place | None = None


def read(files: ProjectFiles, folder: str = "") -> tuple[Metadata, list[Note]]:
    """Return what the files of a folder say of the project in it."""
    path = folder + PYPROJECT
    document, notes = _document(files, path)
    known = _Toml(files, path, document)
    table = "project" if known.text("project", "name")[0] else "tool.poetry"
    name, name_place = known.text(table, "name")
    if not _NAME.fullmatch(name):
        name, name_place = "", None
    python, python_place = known.text("project", "requires-python")
    dependencies: dict[str, Place] = {}
    for package, place in (*known.packages(), *_required(files, folder), *_locked(files, folder)):
        dependencies.setdefault(canonicalize_name(package), place)
    metadata = Metadata(
        folder,
        name,
        name_place,
        f"[{table}] name",
        python,
        python_place,
        known.build_system(folder + "setup.py"),
        known.keys("project.scripts", "tool.poetry.scripts"),
        known.keys("project.optional-dependencies", "tool.poetry.extras"),
        known.keys("dependency-groups", "tool.poetry.group"),
        dependencies,
        tuple(_members(files, known.table("tool.uv.workspace").get("members"))),
    )
    return metadata, notes


def pinned_python(files: ProjectFiles) -> tuple[str, Place | None]:
    """Return the oldest Python that a project is meant for, by the files of version managers."""
    for path in (".python-version", "runtime.txt"):
        found = _PYTHON.fullmatch(files.texts.get(path, "").strip())
        if found:
            return f">={found[1]}", Place(path, 1)
    return "", None


def locks(files: ProjectFiles) -> list[LockFile]:
    """Return the locks and requirements of a project, those to use first."""
    tools = [LockFile(name) for name in LOCKS if name in files.texts]
    listed = [path for path in REQUIREMENTS if path in files.texts]
    lists = [LockFile(path, _unlocked(files.texts[path], path)) for path in listed]
    return [*tools, *sorted(lists, key=lambda each: each.unlocked is not None)]


# --- pyproject.toml ----------------------------------------------------------------------------


def _document(files: ProjectFiles, path: str) -> tuple[Mapping[str, Any], list[Note]]:
    try:
        return tomllib.loads(files.texts.get(path, "")), []
    except (ValueError, RecursionError) as error:  # no TOML, too many digits, nested too deeply
        at = re.search(r"at line (\d+)", str(error))
        return {}, [Note(f"is not TOML: {error}", Place(path, int(at[1]) if at else 0))]


@dataclass(frozen=True)
class _Toml:
    """A TOML document, and the lines of its keys."""

    files: ProjectFiles
    path: str
    document: Mapping[str, Any]

    def table(self, name: str) -> Mapping[str, Any]:
        """Return a table; an empty one if it is missing or no table."""
        found: Any = self.document
        for part in name.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        return found if isinstance(found, Mapping) else {}

    def place(self, table: str, key: str = "") -> Place:
        """Return the line of a table's header or of a key in it."""
        current = ""
        for number, line in enumerate(self.files.texts.get(self.path, "").splitlines(), 1):
            if header := re.match(r"\s*\[+\s*([^\[\]]+?)\s*\]", line):
                current = header[1].replace('"', "")
            is_key = key and re.match(rf"""\s*["']?{re.escape(key)}["']?\s*=""", line)
            is_below = key and f"{current}.".startswith(f"{table}.{key}.")
            if is_below or (current == table and (is_key or not key)):
                return Place(self.path, number)
        return Place(self.path)

    def text(self, table: str, key: str) -> tuple[str, Place | None]:
        """Return the text of a key, and its place; "" if it has none."""
        value = self.table(table).get(key)
        if isinstance(value, str) and value.strip():
            return value.strip(), self.place(table, key)
        return "", None

    def build_system(self, setup: str) -> Place | None:
        """Return where the project says how its wheel is built; None if none is."""
        if not is_package(self.document, has_setup=setup in self.files.texts):
            return None
        return self.place("build-system") if "build-system" in self.document else Place(setup)

    def keys(self, *tables: str) -> Named:
        return {key: self.place(table, key) for table in tables for key in self.table(table)}

    def packages(self) -> Iterator[tuple[str, Place]]:
        """Yield the packages that the app itself depends on."""
        listed = self.table("project").get("dependencies")
        start = self.place("project", "dependencies").line
        for item in listed if isinstance(listed, list) else ():
            if isinstance(item, str) and (name := _NAME.match(item.strip())):
                pattern = rf"""["']\s*{re.escape(name[0])}\b"""
                yield name[0], self.files.place_of(self.path, pattern, start)
        table = "tool.poetry.dependencies"
        yield from ((name, self.place(table, name)) for name in self.table(table))


def _members(files: ProjectFiles, patterns: object) -> Iterator[str]:
    """Yield the folders that the patterns of a workspace name."""
    texts = (
        [each for each in patterns if isinstance(each, str)] if isinstance(patterns, list) else []
    )
    for path in files.named(PYPROJECT):
        folder = path.removesuffix(PYPROJECT)
        if folder and any(fnmatch(folder.rstrip("/"), each.rstrip("/")) for each in texts):
            yield folder


# --- requirements and locks --------------------------------------------------------------------


def _required(files: ProjectFiles, folder: str) -> Iterator[tuple[str, Place]]:
    for path in (folder + name for name in REQUIREMENTS):
        for number, line in enumerate(files.texts.get(path, "").splitlines(), 1):
            if name := _NAME.match(line):
                yield name[0], Place(path, number)


def _locked(files: ProjectFiles, folder: str) -> Iterator[tuple[str, Place]]:
    for path in (folder + name for name in LOCKS):
        for number, line in enumerate(files.texts.get(path, "").splitlines(), 1):
            if name := _LOCKED.match(line):
                yield name[1] or name[2], Place(path, number)


def _unlocked(requirements: str, path: str) -> Place | None:
    """Return the first requirement without a hash."""
    lines = re.sub(r"\\[ \t]*\r?\n", " \x00", requirements).splitlines()
    number = 1
    for line in lines:
        if _NAME.match(line) and not _HASH.search(line):
            return Place(path, number)
        number += 1 + line.count("\x00")  # the lines that it continues on
    return None

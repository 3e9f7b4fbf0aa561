"""What a project's folder holds, as a value: the texts of those files that describe the app.

Loading is bounded in files, sizes and depth, follows no symlink out of the folder and runs nothing
of the project. A file that cannot be read as text is left out, with a note of one line.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import TYPE_CHECKING

from shipit.errors import Place
from shipit.project import source
from shipit.project.source import LOCKS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

DESCRIPTIONS = (*("pyproject.toml", "manage.py", "Pipfile", "setup.py", "setup.cfg"),)
# They say something of an app, not that there is one: they may lie above it.
ABOUT = (
    *("Procfile", "compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"),
    *(".python-version", "runtime.txt"),
)
# Where an app's requirements are, those that may be locks first.
REQUIREMENTS = (
    *source.REQUIREMENTS,
    *("requirements-prod.txt", "requirements-production.txt", "requirements/prod.txt"),
    *("requirements/production.txt", "requirements/base.txt", "requirements.in"),
)
_MARKS = ("/pyproject.toml", "/manage.py")
PRIVATE = ("prod.env", ".env.prod", ".env.production")  # their names count, their texts don't
_SKIPPED = {
    *("__pycache__", "node_modules", "site-packages", "venv", "env", "build", "dist", "docs"),
    *("test", "tests", "testing", "examples", "migrations", "static", "templates"),
}
_DEEPEST = 8  # folders
_MOST_FILES = 20_000  # looked at
_MOST_TEXTS = 2_000  # read
_LARGEST = 512 * 1024  # bytes of a file
_LARGEST_LOCK = 16 * 1024 * 1024  # bytes


@dataclass(frozen=True)
class Note:
    """Something about a file that the user should know, in one line."""

    what: str
    place: Place

    def __str__(self) -> str:
        return f"{self.place}: {self.what}"


@dataclass(frozen=True)
class ProjectFiles:
    """Texts by path, relative to the project and with slashes, the nearest to the top first.

    Attributes:
        name: that of the project's folder.
        private: the files with production's variables, whose texts nobody reads.
        notes: what was left out, and why.
    """

    name: str
    texts: Mapping[str, str] = field(repr=False)
    private: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()

    @property
    def is_project(self) -> bool:
        """Whether the folder itself has a Python project."""
        if any(name in self.texts for name in (*DESCRIPTIONS, *LOCKS, *REQUIREMENTS)):
            return True
        return not self.inner_projects and any(path.endswith(".py") for path in self.texts)

    @property
    def inner_projects(self) -> list[str]:
        """The folders below that have a project of their own."""
        return [path.rpartition("/")[0] for path in self.texts if path.endswith(_MARKS)]

    def named(self, pattern: str) -> Iterator[str]:
        """Yield the paths whose last part matches a pattern."""
        return (path for path in self.texts if fnmatch(path.rpartition("/")[2], pattern))

    def place_of(self, path: str, pattern: str, start: int = 1) -> Place:
        """Return the first line of a file, from `start` on, in which a regular expression is."""
        lines = self.texts.get(path, "").splitlines()
        found = (n for n, line in enumerate(lines, 1) if n >= start and re.search(pattern, line))
        return Place(path, next(found, 0))


def load(folder: Path) -> ProjectFiles:
    """Read the files of a project that say what it is."""
    texts: dict[str, str] = {}
    notes: list[Note] = []
    private: list[str] = []
    for number, path in enumerate(_walk(folder, "", 0, notes)):
        if number >= _MOST_FILES or len(texts) >= _MOST_TEXTS:
            what = f"there are more than {number} files; the others were not looked at"
            notes.append(Note(what, Place(path)))
            break
        name = path.rpartition("/")[2]
        if name in PRIVATE:
            private.append(path)
        elif (
            name.endswith(".py") or name in (*DESCRIPTIONS, *ABOUT, *LOCKS) or path in REQUIREMENTS
        ):
            largest = _LARGEST_LOCK if name in LOCKS or path in REQUIREMENTS else _LARGEST
            if isinstance(found := _text(folder, path, largest), Note):
                notes.append(found)
            else:
                texts[path] = found
    return ProjectFiles(folder.resolve().name, texts, tuple(private), tuple(notes))


def _walk(folder: Path, below: str, depth: int, notes: list[Note]) -> Iterator[str]:
    """Yield the files below a folder: its own by name, then those of its folders."""
    try:
        entries = sorted(os.scandir(folder / below), key=lambda entry: entry.name)
    except OSError as error:
        what = f"the folder cannot be read: {error.strerror}"
        notes.append(Note(what, Place(below or str(folder))))
        return
    folders = []
    for entry in entries:
        path = f"{below}{entry.name}"
        if not entry.is_dir(follow_symlinks=False):
            yield path
        elif _is_source(entry):
            folders.append(f"{path}/")
    for path in folders if depth < _DEEPEST else ():
        yield from _walk(folder, path, depth + 1, notes)


def _is_source(entry: os.DirEntry[str]) -> bool:
    """Return whether a folder may hold the app's own source: no tests, venvs, caches."""
    is_venv = os.path.lexists(os.path.join(entry.path, "pyvenv.cfg"))  # noqa: PTH118 - its path is a text
    return not entry.name.startswith(".") and entry.name not in _SKIPPED and not is_venv


def _text(folder: Path, path: str, largest: int) -> str | Note:
    """Return the text of a file, or why it was not read."""
    try:
        target = (folder / path).resolve(strict=True)
        if not target.is_relative_to(folder.resolve()):
            return Note("links out of the project; not read", Place(path))
        # Neither a link that has just been put there nor a pipe without a writer.
        opened = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(opened, "rb") as file:
            if not stat.S_ISREG(os.fstat(opened).st_mode):
                return Note("is no file; not read", Place(path))
            raw = file.read(largest + 1)
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        why = getattr(error, "strerror", None) or "links in a circle"
        return Note(f"cannot be read: {why}", Place(path))
    if len(raw) > largest:
        return Note(f"is larger than {largest // 1024} KiB; not read", Place(path))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return Note("is not UTF-8 text; not read", Place(path, line))

"""The files that make a project, in this order everywhere.

Of a project in git these are the files that git tracks, as they are in the folder now: what lies
there by chance (dumps, keys, `.env`) is not shipped. Elsewhere they are all files but the usual
by-products and hidden ones.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from shipit.errors import InputError, Mistake, Place
from shipit.project.programs import GIT, Program

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

# Folders that are made from others, or that hold other things than the project.
BY_PRODUCTS = frozenset(
    {
        *("__pycache__", "node_modules", ".venv", ".git", ".hg", ".svn"),
        *(".tox", ".nox", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".idea", ".vscode"),
    }
)
OF_THE_TOP = frozenset({"build", "dist", "venv"})  # further down they may be packages
_ENDINGS = (".pyc", ".pyo", ".swp", "~")
OWN_TAG = ".shipit-cache"  # a file in shipit's own cache
MOST = 20_000  # files


@dataclass(frozen=True)
class File:
    """A file of a project: its path in the project's folder, with slashes, and where it is."""

    name: str
    path: Path

    @property
    def mode(self) -> int:
        """0o755 if its owner may execute it, else 0o644: all that git keeps, too."""
        return 0o755 if self.path.stat().st_mode & stat.S_IXUSR else 0o644


@dataclass(frozen=True)
class Listing:
    """The files of a project; `left_out` are those that git neither tracks nor ignores."""

    files: tuple[File, ...]
    left_out: tuple[str, ...] = ()


def listing(folder: Path, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> Listing:
    """Return the files of a project, without those that `exclude` matches.

    Args:
        folder: the project's.
        include: patterns of files that are taken although git does not track them.
        exclude: patterns; in both `*` matches slashes, too, and a folder's name all that is in it.

    Raises:
        InputError: a symlink leads out of the project, a name cannot be in a wheel, or there are
            too many files.
    """
    tracked, others = _by_git(folder) if is_in_git(folder) else (list(walked(folder)), [])
    if include:
        more = (name for name in walked(folder, hidden=True) if matches(name, include))
        tracked = [*tracked, *more]
    names = sorted({name for name in tracked if not matches(name, exclude)})
    files = tuple(File(name, folder / name) for name in names if (folder / name).is_file())
    folders = [
        name for name in names if _is_lost(folder / name, is_included=matches(name, include))
    ]
    left_out = [n for n in others if not matches(n, (*include, *exclude))]
    _check(folder, files, folders)
    return Listing(files, tuple(sorted(left_out)))


def _is_lost(path: Path, *, is_included: bool) -> bool:
    """Whether a path is a folder whose files are not listed: a symlink, or a submodule."""
    return path.is_dir() and (path.is_symlink() or not is_included)


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a path, or a folder that it is in, matches one of the patterns."""
    parts = name.split("/")
    above = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
    return any(fnmatchcase(each, p.rstrip("/")) for p in patterns for each in above)


def is_in_git(folder: Path) -> bool:
    """Whether a folder lies in a repository of git that it is not ignored in."""
    asked = ["git", "rev-parse", "--is-inside-work-tree"]
    try:
        status, _, _ = Program("ask git", asked, folder, GIT).attempt()
    except InputError:  # no git on this machine
        return False
    if status:
        return False
    ignored, _, _ = Program("ask git", ["git", "check-ignore", "-q", "."], folder, GIT).attempt()
    return ignored != 0


def _by_git(folder: Path) -> tuple[list[str], list[str]]:
    """Return the paths that git tracks, and those that it neither tracks nor ignores."""

    def ask(*which: str) -> list[str]:
        argv = ["git", "-c", "core.quotePath=off", "ls-files", "-z", *which]
        said = Program("list the project's files", argv, folder, GIT).checked(
            "project-files", Place(str(folder)), "run it by hand: git ls-files"
        )
        return [name for name in said.split("\0") if name]

    return ask("--cached"), ask("--others", "--exclude-standard")


def walked(folder: Path, *, hidden: bool = False) -> Iterator[str]:
    """Yield the paths of all files but by-products; hidden files and folders only if asked for.

    Symlinks to folders are not followed: each is one path.
    """
    for top, folders, names in os.walk(folder):
        below = os.path.relpath(top, folder)
        skipped = BY_PRODUCTS | OF_THE_TOP if below == "." else BY_PRODUCTS
        kept = [each for each in folders if each not in skipped and not _is_ours(top, each)]
        folders[:] = sorted(each for each in kept if hidden or not each.startswith("."))
        links = [each for each in folders if os.path.islink(os.path.join(top, each))]  # noqa: PTH114, PTH118 - texts
        for name in (*names, *links):
            # The .git of a submodule is a file.
            is_skipped = name in BY_PRODUCTS or name.endswith(_ENDINGS)
            if not is_skipped and (hidden or not name.startswith(".")):
                yield name if below == "." else f"{below}/{name}"


def _is_ours(top: str, folder: str) -> bool:
    """Whether a folder is shipit's cache: a download may be under way there, with credentials."""
    return os.path.exists(os.path.join(top, folder, OWN_TAG))  # noqa: PTH110, PTH118 - texts


def _check(folder: Path, files: Sequence[File], folders: Sequence[str]) -> None:
    """Refuse what cannot be shipped; `folders` are entries of git that are not files.

    Raises:
        InputError: project-files.
    """
    root, place = folder.resolve(), Place(str(folder))
    mistakes = []
    if len(files) > MOST:
        what = f"the project has {len(files)} files; at most {MOST} are shipped"
        hint = "leave out what is no part of the app: `exclude:` below `project:`"
        mistakes.append(Mistake("project-files", what, place, hint))
    for name in folders:
        what = f"{name} is a submodule, or a symlink to a folder: its files would be missing"
        hint = f"below `project:` write include: [{name}] for a submodule, or exclude: [{name}]"
        mistakes.append(Mistake("project-files", what, place, hint))
    for file in files:
        if not file.path.resolve().is_relative_to(root):
            what = f"{file.name} is a symlink that leads out of the project"
            hint = "copy the file, or leave it out: `exclude:` below `project:`"
            mistakes.append(Mistake("project-files", what, place, hint))
        elif not os.access(file.path, os.R_OK):
            mistakes.append(Mistake("project-files", f"{file.name} cannot be read", place))
        elif not file.name.isprintable() or "\\" in file.name:
            what = f"{file.name!r} has a name that installers read differently"
            mistakes.append(Mistake("project-files", what, place, "rename the file"))
    if mistakes:
        raise InputError(*mistakes)

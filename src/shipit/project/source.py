"""What a project is: a package or a tree of files, its name and version, and its lock.

Reads pyproject.toml, and looks for the lock; builds nothing.
"""

from __future__ import annotations

import tomllib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidName, canonicalize_name
from packaging.version import InvalidVersion, Version

from shipit.errors import InputError, Mistake, Place, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

PYPROJECT = "pyproject.toml"
# In this order; a requirements file counts if it has hashes, or requires nothing.
LOCKS = ("uv.lock", "pylock.toml", "poetry.lock", "pdm.lock", "Pipfile.lock")
REQUIREMENTS = ("requirements.lock", "requirements.txt")


@dataclass(frozen=True)
class Source:
    """A project, or a member of a workspace.

    Attributes:
        folder: where its own files are.
        root: the folder that was named: of the workspace, for a member.
        name: normalized.
        version: normalized; empty if its build system decides it, or if nothing does.
        python: which Pythons it accepts, as a specifier; may be empty.
        is_package: whether it has a build system; otherwise it is shipped as a tree of files.
        lock: the lock of its dependencies.
    """

    folder: Path
    root: Path
    name: str
    version: str
    python: str
    is_package: bool
    lock: Path


def read(folder: Path, app: str, package: str = "", lock: Path | None = None) -> Source:
    """Return what the project in a folder is.

    Args:
        folder: the project's.
        app: the name of a project that states none.
        package: the member of a workspace that is meant.
        lock: the lock, if it is not the one in the folder.

    Raises:
        InputError: pyproject.toml is broken, there is no such member, or no lock.
    """
    root = folder
    document = _pyproject(folder)
    if package:
        folder, document = _member(root, document, package)
    project = _table(document, "project")
    poetry = _table(_table(document, "tool"), "poetry")
    name = str(project.get("name") or poetry.get("name") or app)
    return Source(
        folder,
        root,
        _normalized(name, folder),
        _version(project.get("version") or poetry.get("version")),
        _specifier(project.get("requires-python")),
        is_package(document, has_setup=(folder / "setup.py").is_file()),
        lock or _lock_of(folder, root),
    )


def _pyproject(folder: Path) -> Mapping[str, Any]:
    path = folder / PYPROJECT
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        what = f"{PYPROJECT} cannot be read: {error}"
        raise InputError(Mistake("project-unreadable", what, Place(str(path)))) from error


def _member(
    root: Path, document: Mapping[str, Any], package: str
) -> tuple[Path, Mapping[str, Any]]:
    """Return the folder and the pyproject.toml of a member of a uv workspace."""
    known: dict[str, tuple[Path, Mapping[str, Any]]] = {}
    for folder in (root, *_members(root, document)):
        found = document if folder == root else _pyproject(folder)
        name = str(_table(found, "project").get("name", ""))
        known[canonicalize_name(name)] = folder, found
    if (wanted := canonicalize_name(package)) in known:
        return known[wanted]
    what = f"the workspace has no member {package!r}"
    names = sorted(filter(None, known))
    hint = nearest(package, names) or f"known: {', '.join(names) or 'none'}"
    raise InputError(Mistake("project-member", what, Place(str(root / PYPROJECT)), hint))


def _members(root: Path, document: Mapping[str, Any]) -> Iterator[Path]:
    workspace = _table(_table(_table(document, "tool"), "uv"), "workspace")
    members = workspace.get("members")
    for pattern in members if isinstance(members, list) else ():
        with suppress(ValueError, NotImplementedError):  # no pattern below the workspace
            yield from (
                folder
                for folder in sorted(root.glob(str(pattern)))
                if (folder / PYPROJECT).is_file()
            )


def _table(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = document.get(key)
    return found if isinstance(found, dict) else {}


def is_package(document: Mapping[str, Any], *, has_setup: bool) -> bool:
    """Whether a project has a build system, by the rules of its tool (uv, Poetry, setuptools)."""
    tool = _table(document, "tool")
    if "package" in (uv := _table(tool, "uv")):
        return bool(uv["package"])
    if _table(tool, "poetry").get("package-mode") is False:
        return False
    if _table(tool, "pdm").get("distribution") is False:
        return False
    return "build-system" in document or has_setup


def _lock_of(folder: Path, root: Path) -> Path:
    """Return the lock beside a project, or beside its workspace.

    Raises:
        InputError: there is none (no-lock).
    """
    for place in dict.fromkeys((folder, root)):
        for name in LOCKS:
            if (place / name).is_file():
                return place / name
        for name in REQUIREMENTS:
            if (place / name).is_file() and _is_locked(place / name):
                return place / name
    has_pyproject = (folder / PYPROJECT).is_file()
    command = "uv lock" if has_pyproject else _compile(folder)
    what = "the project has no lock: exact versions of its dependencies, with hashes"
    hint = f"make one: {command}; or name it: `lock:` in the playbook"
    raise InputError(Mistake("no-lock", what, Place(str(folder)), hint))


def _compile(folder: Path) -> str:
    name = "requirements.in" if (folder / "requirements.in").is_file() else "requirements.txt"
    return f"uv pip compile --universal --generate-hashes {name} -o requirements.lock"


def _is_locked(requirements: Path) -> bool:
    """Whether requirements have hashes, or nothing is required at all."""
    try:
        text = requirements.read_text(encoding="utf-8", errors="replace")
    except OSError:  # reported when it is read as a lock
        return True
    lines = (line.strip() for line in text.splitlines())
    return "--hash" in text or all(not line or line.startswith("#") for line in lines)


def _normalized(name: str, folder: Path) -> str:
    try:
        return canonicalize_name(name, validate=True)
    except InvalidName as error:
        what = f"{name!r} is no name of a project (letters, digits, and . - _ between them)"
        place = Place(str(folder / PYPROJECT))
        raise InputError(Mistake("project-unreadable", what, place)) from error


def _version(text: object) -> str:
    try:
        return str(Version(str(text))) if text else ""
    except InvalidVersion:
        return ""  # its build system refuses it


def _specifier(text: object) -> str:
    try:
        return str(SpecifierSet(str(text))) if text else ""
    except InvalidSpecifier:
        return ""

"""Read a lock of any supported tool; its format is detected from its content.

Every entry is one exact version with its sha256 digests, and every mistake has its line. Resolves
nothing, queries no index.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from shipit.bundle import requirements_file, tool_locks, uv_lock
from shipit.bundle.lock import MAIN, unknown_part
from shipit.bundle.lock_text import text_of, toml
from shipit.errors import InputError, Mistake, Place

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from shipit.bundle.lock import Lock, Parts

_PACKAGES = re.compile(r"^\[\[ *packages? *\]\]", re.MULTILINE)
# Files that list dependencies but lock nothing, with the command that locks each.
_NO_LOCKS = {
    "pyproject.toml": "uv lock, and name uv.lock here",
    "Pipfile": "pipenv lock, and name Pipfile.lock here",
    "setup.py": "uv pip compile --generate-hashes setup.py -o requirements.lock",
    "setup.cfg": "uv pip compile --generate-hashes setup.cfg -o requirements.lock",
    "package-lock.json": "",
    "conda-lock.yml": "",
    "pixi.lock": "",
}


def read(path: Path, parts: Parts = MAIN) -> Lock:
    """Read a lock: requirements with hashes, uv.lock, pylock.toml, or Poetry's, PDM's, Pipenv's.

    Args:
        path: the lock.
        parts: the extras and dependency groups that are wanted besides the project itself.

    Raises:
        InputError: with every mistake in it, or if it has no such part.
    """
    if path.name in _NO_LOCKS:
        how = _NO_LOCKS[path.name] or "uv pip compile --generate-hashes requirements.in -o {}"
        what = f"{path.name} is not a lock of a Python app: it has no exact versions with hashes"
        hint = f"lock it: {how.format('requirements.lock')}"
        raise InputError(Mistake("no-lock", what, Place(str(path)), hint))
    text = text_of(path)
    if path.name == "Pipfile.lock" or text.lstrip().startswith("{"):
        return tool_locks.read_pipenv(path, parts)
    if path.suffix == ".toml" or path.name in ("uv.lock", "poetry.lock", "pdm.lock"):
        return _read_toml(path, parts)
    if _PACKAGES.search(text):
        return _read_toml(path, parts)
    for kind, names in (("extra", parts.extras), ("group", parts.groups)):
        if names:
            raise unknown_part(kind, names[0], (), path)
    return requirements_file.read(path)


def _read_toml(path: Path, parts: Parts) -> Lock:
    document, places = toml(path)
    metadata = document.get("metadata")
    known: Mapping[str, Any] = metadata if isinstance(metadata, dict) else {}
    if "lock-version" in known:
        return tool_locks.read_poetry(path, document, places, parts)
    if "lock_version" in known:
        return tool_locks.read_pdm(path, document, places, parts)
    if "package" in document or path.name == "uv.lock":
        return uv_lock.read(path, document, places, parts)
    from shipit.bundle import pylock  # noqa: PLC0415 - its library is large, and the lock rare

    return pylock.read(path, document, places, parts)

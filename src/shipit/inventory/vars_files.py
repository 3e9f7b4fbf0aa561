"""Read the variables in group_vars/ and host_vars/, each file once; decrypt ansible-vault.

A file that no password opens is not merged, but recorded: whether it matters is known only when one
of its variables is used.
"""

from __future__ import annotations

import os
from itertools import chain
from typing import TYPE_CHECKING

from shipit import yaml_source
from shipit.errors import ErrorCollector, InputError, Mistake, Place
from shipit.vault import LOCKED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from shipit.vault import Passwords

    Merge = Callable[[Mapping[str, object], Mapping[str, object]], dict[str, object]]

_VARS_ENDINGS = ("", ".yml", ".yaml", ".json")
_LONGEST = 240  # bytes of a name that files may have


def replacing(first: Mapping[str, object], then: Mapping[str, object]) -> dict[str, object]:
    """Merge two sets of variables; later ones override earlier ones."""
    return {**first, **then}


def merging(first: Mapping[str, object], then: Mapping[str, object]) -> dict[str, object]:
    """Merge two sets of variables as with hash_behaviour = merge: mappings are merged as well."""
    found = dict(first)
    for key, value in then.items():
        below = found.get(key)
        both = isinstance(value, dict) and isinstance(below, dict)
        found[key] = merging(below, value) if both else value  # type: ignore[arg-type]
    return found


class VarsFiles(ErrorCollector):
    """The variables in group_vars/ and host_vars/ of some folders; each file is read once.

    The folders are those beside the sources, and those beside the playbook.
    """

    def __init__(self, places: Iterable[list[Path]], passwords: Passwords, merge: Merge) -> None:
        super().__init__()
        self.merge = merge
        self._places = [[folder.resolve() for folder in folders] for folders in places]
        self._passwords = passwords
        self._known: dict[Path, dict[str, object]] = {}
        self._locked: dict[Path, list[Mistake]] = {}

    def layers(self, kind: str, names: Sequence[str]) -> Iterator[dict[str, object]]:
        """Yield the variables of these groups or hosts: of each place those of all its folders."""
        for folders in self._places:
            merged: dict[str, object] = {}
            for folder in folders:
                for name in names:
                    merged = self.merge(merged, self._of_one(folder / kind, name))
            yield merged

    def locked(self, kind: str, names: Sequence[str]) -> Iterator[Mistake]:
        """Yield why files of these groups or hosts could not be opened."""
        for folder in chain(*self._places):
            for name in names:
                yield from self._locked.get(folder / kind / name, ())

    def _of_one(self, folder: Path, name: str) -> dict[str, object]:
        key = folder / name
        if name.startswith("/") or len(name.encode()) > _LONGEST:  # such a name has no files
            return {}
        if key not in self._known:
            self._known[key] = {}
            for path in self._paths(folder, name):
                self._known[key] = self.merge(self._known[key], self._read(path, key))
        return self._known[key]

    def _paths(self, folder: Path, name: str) -> list[Path]:
        """Return the files for one name: all in the folder NAME/, or NAME, NAME.yml ..."""
        if folder.exists() and not folder.is_dir():
            what = f"{folder.name} must be a directory"
            mistake = Mistake("inventory-vars", what, Place(str(folder)))
            self.mistakes += [] if mistake in self.mistakes else [mistake]
            return []
        for ending in _VARS_ENDINGS:
            path = folder / f"{name}{ending}"
            if path.is_dir():
                return list(_vars_files(path))
            if path.exists():
                return [path]
        return []

    def _read(self, path: Path, key: Path) -> dict[str, object]:
        try:
            document = yaml_source.read(path, self._passwords)
        except InputError as error:
            is_locked = all(mistake.code in LOCKED for mistake in error.mistakes)
            mistakes = self._locked.setdefault(key, []) if is_locked else self.mistakes
            mistakes += error.mistakes
            return {}
        content = document.value or {}
        if not isinstance(content, dict):
            what = "a file of variables must be a mapping, with `name: value` on each line"
            self.mistakes.append(Mistake("inventory-vars", what, document.place()))
            return {}
        for name in content:
            if not isinstance(name, str):
                what = f"a variable's name must be text, not {name!r}"
                place = document.key_place([name])
                self.mistakes.append(Mistake("inventory-variable", what, place, "put it in quotes"))
        return content


def _vars_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name.endswith("~"):
            continue
        ending = os.path.splitext(path)[1]  # noqa: PTH122 - as in Ansible, also for `name.`
        if path.is_dir() and not ending:
            yield from _vars_files(path)
        elif path.is_file() and ending in _VARS_ENDINGS:
            yield path

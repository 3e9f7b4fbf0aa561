"""Write a playbook and an inventory for a project, from what its files say."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import Enum
from shlex import quote
from typing import TYPE_CHECKING

from shipit.errors import InputError, Mistake, Place, ShipitError
from shipit.init import decisions, detect, project_files, questions, texts, write
from shipit.init.decisions import Answers
from shipit.init.findings import Guess
from shipit.inventory.model import Reading, load

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from shipit.init.project_files import Note, ProjectFiles
    from shipit.init.questions import Ask


class State(Enum):
    """What became of a file."""

    WRITTEN = "written"
    KEPT = "kept"  # it exists
    PLANNED = "planned"  # with --check


@dataclass(frozen=True)
class File:
    """A file of the project; `text` is what was, or would be, written into it."""

    path: str
    state: State
    text: str = field(repr=False)


@dataclass(frozen=True)
class Report:
    """What was guessed, written, and is left to do before the first deploy."""

    guesses: tuple[Guess, ...]
    files: tuple[File, ...]
    todo: tuple[str, ...]
    notes: tuple[Note, ...]

    @property
    def has_playbook(self) -> bool:
        """Whether the playbook is new."""
        return self.files[0].state is not State.KEPT


def init(folder: Path, ask: Ask | None, inventories: Sequence[str], *, check: bool) -> Report:
    """Write the playbook, the inventory and the lines for git that a project lacks.

    Args:
        folder: the project's.
        ask: asks the user; None to take every guess.
        inventories: the names by which an inventory beside a playbook is found.
        check: write nothing.

    Raises:
        InputError: init-folder, init-nothing, init-unwritable.
    """
    files = _files_of(folder)
    found = detect.detect(files)
    inventory = next((name for name in inventories if os.path.lexists(folder / name)), "")
    answers = questions.answers(found, ask, has_inventory=bool(inventory)) if ask else Answers()
    setup = decisions.decide(found, answers)
    group = _group(folder, inventory, "web" if setup.port else "workers")
    wanted = {texts.PLAYBOOK: texts.playbook(setup, group)}
    if not inventory:
        wanted[texts.INVENTORY] = texts.inventory(answers.hosts, group)
    written = [_create(folder, name, text, check=check) for name, text in wanted.items()]
    kept = [File(inventory, State.KEPT, "")] if inventory else []
    ignored = _ignore(folder, check=check)
    hosts = Guess("hosts", group, why=f"a group of {inventory or texts.INVENTORY}")
    todo = [*setup.todo]
    if not inventory and not answers.hosts:
        todo.append(f"write the names of your hosts into {texts.INVENTORY}")
    path = quote(str(folder / texts.PLAYBOOK))
    todo.append(f"check it: shipit lint {path}; and with its hosts: shipit doctor {path}")
    return Report((hosts, *setup.guesses), (*written, *kept, *ignored), tuple(todo), found.notes)


def _files_of(folder: Path) -> ProjectFiles:
    if not folder.is_dir():
        what = "this is not a folder" if folder.exists() else "the folder does not exist"
        hint = "give the folder of the project: shipit init PROJECT"
        raise InputError(Mistake("init-folder", what, Place(str(folder)), hint))
    files = project_files.load(folder)
    if not files.is_project:
        inner = files.inner_projects
        hint = f"if the app is in {inner[0]}: shipit init {folder / inner[0]}" if inner else ""
        what = "there is no Python project here: no pyproject.toml, no requirements.txt, no .py"
        raise InputError(Mistake("init-nothing", what, Place(str(folder)), hint))
    return files


def _group(folder: Path, inventory: str, group: str) -> str:
    """Return the group to deploy to: `all` if there is an inventory that lacks the usual one."""
    path = folder / inventory
    if not inventory:
        return group
    if path.is_file() and os.access(path, os.X_OK):  # a program, which is not run for a guess
        return "all"
    try:
        return group if group in load([path], Reading(may_run=False)).groups else "all"
    except ShipitError:  # reported when it is used
        return "all"


def _create(folder: Path, name: str, text: str, *, check: bool) -> File:
    path = folder / name
    if os.path.lexists(path):
        return File(name, State.KEPT, "")
    if check:
        return File(name, State.PLANNED, text)
    return File(name, State.WRITTEN if write.create(path, text) else State.KEPT, text)


def _ignore(folder: Path, *, check: bool) -> list[File]:
    """Add to .gitignore what it lacks."""
    path = folder / texts.GITIGNORE
    if path.is_symlink() or (path.exists() and not path.is_file()):
        return []
    try:
        known = path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError):  # not for us to change
        return []
    missing = texts.missing_lines(known, texts.IGNORED)
    if missing and not check:
        write.append(path, missing)
    state = State.PLANNED if check else State.WRITTEN
    text = "".join(f"{each}\n" for each in missing)
    return [File(texts.GITIGNORE, state, text)] if missing else []

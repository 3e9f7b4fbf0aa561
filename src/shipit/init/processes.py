"""Read which processes an app has from Procfile and compose files.

Interprets each command: which server or worker it starts, with which app and on which port.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from shipit import yaml_source
from shipit.errors import InputError, Place
from shipit.init.project_files import Note

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shipit.init.project_files import ProjectFiles

COMPOSE = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
_LINE = re.compile(r"([A-Za-z0-9_-]+)\s*:\s*(\S.*)")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_RUNNERS = (["uv", "run"], ["poetry", "run"], ["pipenv", "run"], ["pdm", "run"], ["exec"])
_PYTHON = re.compile(r"python[\d.]*")
_PORTS = ("--port", "-p", "--bind", "-b", "--listen")
_PORT = re.compile(r"(?:.*:)?(\d{2,5})")


@dataclass(frozen=True)
class Process:
    """A process of the app.

    Attributes:
        command: without what only prepares it: `uv run`, `exec`, assignments.
    """

    name: str
    command: tuple[str, ...]
    place: Place

    @property
    def words(self) -> tuple[str, ...]:
        """The command by its program: `python -m x` is x."""
        first, second, *_ = (*self.command, "", "")
        is_module = _PYTHON.fullmatch(PurePosixPath(first).name) and second == "-m"
        return self.command[2:] if is_module else self.command

    @property
    def program(self) -> str:
        return PurePosixPath(self.words[0]).name if self.words else ""

    @property
    def port(self) -> int:
        """The port that its command names; 0 for none."""
        pairs = zip(self.words, (*self.words[1:], ""), strict=True)
        for word, following in pairs:
            option, _, value = word.partition("=")
            found = _PORT.fullmatch(value or following) if option in _PORTS else None
            if found:
                return int(found[1])
        return 0


def read(files: ProjectFiles) -> tuple[list[Process], list[Note]]:
    """Return the processes of the Procfile and of the compose file at the top, in their order."""
    compose = next((name for name in COMPOSE if name in files.texts), "")
    found, notes = _composed(files.texts[compose], compose) if compose else ([], [])
    return [*_listed(files.texts.get("Procfile", "")), *found], notes


def _listed(text: str) -> Iterator[Process]:
    for number, line in enumerate(text.splitlines(), 1):
        if found := _LINE.fullmatch(line.strip()):
            yield Process(found[1], _words(found[2]), Place("Procfile", number))


def _composed(text: str, name: str) -> tuple[list[Process], list[Note]]:
    try:
        document = yaml_source.parse(Path(name), text)
    except InputError as error:
        mistake = error.mistakes[0]
        return [], [Note(f"is not understood: {mistake.what}", mistake.place or Place(name))]
    services = document.value.get("services") if isinstance(document.value, dict) else None
    found = []
    for service, keys in services.items() if isinstance(services, dict) else ():
        command = keys.get("command") if isinstance(keys, dict) else None
        line = document.key_place(("services", service, "command")).line
        place = Place(name, line)
        if isinstance(command, str):
            found.append(Process(str(service), _words(command), place))
        elif isinstance(command, list):
            found.append(Process(str(service), _stripped([*map(str, command)]), place))
    return found, []


def _words(command: str) -> tuple[str, ...]:
    try:
        return _stripped(shlex.split(command))
    except ValueError:  # a quote that is not closed
        return ()


def _stripped(words: Sequence[str]) -> tuple[str, ...]:
    """Return a command without its runners and assignments."""
    rest = list(words)
    while rest:
        runner = next((each for each in _RUNNERS if rest[: len(each)] == each), None)
        if runner:
            rest = rest[len(runner) :]
        elif _ASSIGNMENT.match(rest[0]):
            rest = rest[1:]
        else:
            break
    return tuple(rest)

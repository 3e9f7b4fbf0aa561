"""Read the command of a server: which one it runs, and with which options. Pure."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from shipit.servers.known import SERVERS, Server

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BROUGHT = ".shipit"  # below a release's files/: the programs that it brings along for `serve:`
_PYTHON = re.compile(r"python[\d.]*")
_OF_UVICORN = re.compile(r"uvicorn(_worker|\.workers)?(\.\w+)?")  # a worker class of gunicorn


def server_of(command: Sequence[str]) -> tuple[str, Server | None]:
    """Return which server a command runs, and what is known of it."""
    program = _program(command)
    given = options(command)
    worker = given.get("--worker-class", given.get("-k", ""))
    if program == "gunicorn" and _OF_UVICORN.fullmatch(worker):
        program = "gunicorn -k uvicorn"
    for name, server in SERVERS.items():
        other = server.serving.program if server.serving else ""
        if program and program in (name, other):
            return name, server
    return program, None


def is_brought(command: Sequence[str]) -> bool:
    """Whether a command runs a program that its release brings along."""
    return PurePosixPath("".join(command[1:2])).parent.name == BROUGHT


def _program(command: Sequence[str]) -> str:
    """Return the name of what a command runs: its program, or the module of `python -m`."""
    name = PurePosixPath(command[0]).name if command else ""
    if is_brought(command):
        return _ORIGINAL.get(PurePosixPath(command[1]).name, name)
    is_module = _PYTHON.fullmatch(name) and "-m" in command[1:2]
    return command[2] if is_module and command[2:] else name


_ORIGINAL: Mapping[str, str] = {
    server.serving.programs[0]: name.partition(" ")[0]
    for name, server in SERVERS.items()
    if server.serving and server.serving.programs
}


def options(command: Sequence[str]) -> dict[str, str]:
    """Return options with their values: `--bind x`, `--bind=x` and `-bx` are the same."""
    found = {}
    for word, following in pairwise([*command, ""]):
        name, equals, value = word.partition("=")
        if word.startswith("--"):
            found[name] = value if equals else following
        elif re.match(r"-[a-zA-Z]", word):
            found[word[:2]] = word[2:] or following
    return found

"""Known limits of app servers: which requests a handover of each one loses, and why. Pure.

Measured on real hosts under load with hypercorn 0.17, uvicorn 0.54, gunicorn 27 and granian 2.8;
docs/recipes.md describes what each of them needs.
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from shipit.agent.protocol.manifest import Check

LISTEN_ALONE = {  # commands that can't be given a listener, and the alternative
    "granian": "docs/recipes.md shows how to give it one",
    "waitress-serve": "uvicorn and gunicorn take one",
}
SERVERS = ("uvicorn", "gunicorn", "hypercorn", "daphne", "uwsgi")
_PYTHON = re.compile(r"python[\d.]*")


def program_of(command: Sequence[str]) -> str:
    """Return the name of what a command runs: its program, or the module of `python -m`."""
    name = PurePosixPath(command[0]).name if command else ""
    is_module = _PYTHON.fullmatch(name) and "-m" in command[1:2]
    return command[2] if is_module and command[2:] else name


def options(command: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield options with their values: `--bind x`, `--bind=x` and `-bx` are the same."""
    for word, following in pairwise([*command, ""]):
        name, equals, value = word.partition("=")
        if word.startswith("--"):
            yield name, value if equals else following
        elif re.match(r"-[a-zA-Z]", word):
            yield word[:2], word[2:] or following


def gap(command: Sequence[str], *, has_socket: bool, overlaps: bool) -> str:
    """Return what clients lose in a handover of this command; "" for nothing known."""
    program = program_of(command)
    if overlaps and not has_socket and program in (*LISTEN_ALONE, *SERVERS):
        return (
            f"{program} listens itself, and two of them can't listen on one port: without a"
            " `socket` it needs `handover: restart`"
        )
    if program in LISTEN_ALONE:
        return (
            f"{program} takes no listener from systemd, so it can't have a `socket`: connections"
            f" are refused while it restarts; {LISTEN_ALONE[program]}"
        )
    if program in SERVERS and not has_socket:
        return (
            f"{program} listens itself, so connections are refused while it restarts; with a"
            " `socket` systemd keeps the listener open"
        )
    return _dropped(program, command)


def ports_without_socket(checks: Iterable[Check], listen: Iterable[str]) -> list[int]:
    """Return the local ports that checks use and where no socket listens."""
    covered = {address.rpartition(":")[2] for address in listen}
    local = {c.port for c in checks if c.host in ("localhost", "::1") or c.host.startswith("127.")}
    return sorted(port for port in local if str(port) not in covered)


def _dropped(program: str, command: Sequence[str]) -> str:
    if program == "hypercorn":
        return (
            "hypercorn drops accepted connections when it stops: some requests are lost at each"
            " deploy; gunicorn answers them first"
        )
    # A custom class may drain: --http package.module:Class.
    if program == "uvicorn" and ":" not in dict(options(command)).get("--http", ""):
        return (
            "uvicorn closes accepted connections that it has not yet read from when it stops:"
            " under load a request is sometimes lost; docs/recipes.md shows how to avoid it"
        )
    return ""

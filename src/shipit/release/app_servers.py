"""Known limits of app servers: which requests a handover of each one loses, why, and what to write.

Pure. Measured on real hosts under load with hypercorn 0.17, uvicorn 0.54, gunicorn 27 and granian
2.8; docs/recipes.md describes what each of them needs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from shipit.agent.protocol.manifest import Check


@dataclass(frozen=True)
class Server:
    """What is known of an app server.

    Attributes:
        addresses: the options that make it listen itself.
        instead: what to write with a `socket`.
        pid: its own option for a pid file.
        loses: the requests that a handover loses, although systemd listens.
        alone: for one that can't be given a listener, the alternative.
    """

    addresses: tuple[str, ...] = ()
    instead: str = ""
    pid: tuple[str, ...] = ()
    loses: str = ""
    alone: str = ""


SERVERS: Mapping[str, Server] = {
    "uvicorn": Server(
        ("--port", "--host", "--uds"),
        "write --fd 3",
        loses="closes accepted connections that it has not yet read from when it stops: under load"
        " a request is sometimes lost; docs/recipes.md shows how to avoid it",
    ),
    "gunicorn": Server(
        ("--bind", "-b"), "leave it out: gunicorn finds the socket itself", pid=("-p",)
    ),
    "hypercorn": Server(
        ("--bind", "-b", "--insecure-bind"),
        "write --bind fd://3",
        pid=("-p",),
        loses="drops accepted connections when it stops: some requests are lost at each deploy;"
        " gunicorn answers them first",
    ),
    "daphne": Server(("--port", "-p", "--bind", "-b", "--unix-socket", "-u"), "write --fd 3"),
    "uwsgi": Server(
        ("--http", "--http-socket", "--socket"), "leave it out: uWSGI finds the socket"
    ),
    "granian": Server(alone="docs/recipes.md shows how to give it one"),
    "waitress-serve": Server(alone="uvicorn and gunicorn take one"),
}
PATIENT_GUNICORN, CONTROLLED_GUNICORN = (27,), (25, 1)  # docs/recipes.md
_PID = ("--pid", "--pidfile", "--pid-file", "--pidfile2")
_CONTROL = ("--master-fifo", "--unix-control", "--rpc-socket")
_FROM_SYSTEMD = ("fd://", "fd=", "fileno=")
_PYTHON = re.compile(r"python[\d.]*")


def is_server(command: Sequence[str]) -> bool:
    """Whether a command runs an app server."""
    return _program(command) in SERVERS


def ignores_socket(command: Sequence[str]) -> bool:
    """Whether a command listens by itself, although it is given a socket.

    True only of uvicorn, which needs an option for each listener; others find theirs, or may have
    it in a file of settings.
    """
    return _program(command) == "uvicorn" and "--fd" not in _options(command)


def gap(command: Sequence[str], *, has_socket: bool, overlaps: bool) -> str:
    """Return what clients lose in a handover of this command; "" for nothing known."""
    program = _program(command)
    server = SERVERS.get(program)
    if server is None:
        return ""
    if overlaps and not has_socket:
        return (
            f"{program} listens itself, and two of them can't listen on one port: without a"
            " `socket` it needs `handover: restart`"
        )
    if server.alone:
        return (
            f"{program} takes no listener from systemd, so it can't have a `socket`: connections"
            f" are refused while it restarts; {server.alone}"
        )
    if not has_socket:
        return (
            f"{program} listens itself, so connections are refused while it restarts; with a"
            " `socket` systemd keeps the listener open"
        )
    # A custom class may drain: --http package.module:Class.
    is_custom = program == "uvicorn" and ":" in _options(command).get("--http", "")
    return f"{program} {server.loses}" if server.loses and not is_custom else ""


def ports_without_socket(checks: Iterable[Check], listen: Iterable[str]) -> list[int]:
    """Return the local ports that checks use and where no socket listens."""
    covered = {address.rpartition(":")[2] for address in listen}
    local = {c.port for c in checks if c.host in ("localhost", "::1") or c.host.startswith("127.")}
    return sorted(port for port in local if str(port) not in covered)


def remarks(
    command: Sequence[str], versions: Mapping[str, str], *, has_socket: bool, overlaps: bool
) -> Iterator[str]:
    """Yield the options of a command that prevent a clean handover, and what to write instead.

    Args:
        command: begins with its program, or `python -m` and a module.
        versions: of the packages in the venv, by name.
        has_socket: whether systemd listens for it.
        overlaps: whether two releases of it run at the same time.
    """
    program, given = _program(command), _options(command)
    server = SERVERS.get(program, Server())
    if overlaps:
        yield from _shared_files(server, given)
    if program == "gunicorn":
        yield from _of_gunicorn(given, versions.get("gunicorn", ""), overlaps=overlaps)
    for option in server.addresses if has_socket else ():
        if option in given and not given[option].startswith(_FROM_SYSTEMD):
            what = f"{option} makes {program} listen itself, besides systemd on the `socket`"
            yield f"{what}: {server.instead}"


def _shared_files(server: Server, given: Mapping[str, str]) -> Iterator[str]:
    both = "two releases run at the same time, and"
    for option in (*_PID, *server.pid):
        if option in given:
            fix = f"leave {option} out, systemd tracks the process"
            yield f"{both} the second finds the pid file of the first: {fix}"
    for option in _CONTROL:
        if option in given:
            yield f"{both} {option} is one file for both: leave it out"


def _of_gunicorn(given: Mapping[str, str], version: str, *, overlaps: bool) -> Iterator[str]:
    number = tuple(map(int, re.findall(r"\d+", version)[:2]))
    if overlaps and number >= CONTROLLED_GUNICORN and "--no-control-socket" not in given:
        yield (
            f"gunicorn {version} has a control socket, one file for two releases that run at the"
            " same time: write --no-control-socket"
        )
    if number and number < PATIENT_GUNICORN:
        yield (
            f"gunicorn {version} may drop accepted connections when it stops: lock"
            f" gunicorn {PATIENT_GUNICORN[0]} or later, which answers them first"
        )


def _program(command: Sequence[str]) -> str:
    """Return the name of what a command runs: its program, or the module of `python -m`."""
    name = PurePosixPath(command[0]).name if command else ""
    is_module = _PYTHON.fullmatch(name) and "-m" in command[1:2]
    return command[2] if is_module and command[2:] else name


def _options(command: Sequence[str]) -> dict[str, str]:
    """Return options with their values: `--bind x`, `--bind=x` and `-bx` are the same."""
    found = {}
    for word, following in pairwise([*command, ""]):
        name, equals, value = word.partition("=")
        if word.startswith("--"):
            found[name] = value if equals else following
        elif re.match(r"-[a-zA-Z]", word):
            found[word[:2]] = word[2:] or following
    return found

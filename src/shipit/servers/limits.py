"""Known limits of app servers: which requests a handover of each one loses, why, and what to write.

Pure. The knowledge itself is in `known`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from shipit.servers import argv
from shipit.servers.known import Server

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from shipit.agent.protocol.manifest import Check

PATIENT_GUNICORN, CONTROLLED_GUNICORN = (27,), (25, 1)  # docs/recipes.md
_PID = ("--pid", "--pidfile", "--pid-file", "--pidfile2")
_CONTROL = ("--master-fifo", "--unix-control", "--rpc-socket")
_FROM_SYSTEMD = ("fd://", "fd=", "fileno=")


def is_server(command: Sequence[str]) -> bool:
    """Whether a command runs an app server."""
    _, server = argv.server_of(command)
    return server is not None and server.listens


def ignores_socket(command: Sequence[str]) -> bool:
    """Whether a command listens by itself, although it is given a socket.

    True only of uvicorn, which needs an option for each listener; others find theirs, or may have
    it in a file of settings.
    """
    return argv.server_of(command)[0] == "uvicorn" and "--fd" not in argv.options(command)


def gap(command: Sequence[str], *, has_socket: bool, overlaps: bool) -> str:
    """Return what clients lose in a handover of this command; "" for nothing known."""
    name, server = argv.server_of(command)
    if server is None or not server.listens:
        return ""
    program = name.partition(" ")[0]
    if overlaps and not has_socket:
        return (
            f"{program} listens itself, and two of them can't listen on one port: without a"
            " `socket` it needs `handover: restart`"
        )
    if server.alone and not argv.is_brought(command):
        return (
            f"{program} alone takes no listener from systemd: connections are refused while it"
            f" restarts; {server.alone}"
        )
    if not has_socket:
        return (
            f"{program} listens itself, so connections are refused while it restarts; with a"
            " `socket` systemd keeps the listener open"
        )
    # A custom class may drain: --http package.module:Class.
    is_custom = program == "uvicorn" and ":" in argv.options(command).get("--http", "")
    return f"{name} {server.loses}" if server.loses and not is_custom else ""


def may_listen(command: Sequence[str]) -> bool:
    """Whether clients may connect to what a command runs; they never do to a task worker."""
    _, server = argv.server_of(command)
    return server is None or server.listens


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
    name, known = argv.server_of(command)
    program, server, given = name.partition(" ")[0], known or Server(), argv.options(command)
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

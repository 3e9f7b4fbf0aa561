"""Find options of a command that prevent a clean handover, and what to write instead. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from shipit.release.app_servers import options, program_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PATIENT_GUNICORN, CONTROLLED_GUNICORN = (27,), (25, 1)  # docs/recipes.md
_PID = ("--pid", "--pidfile", "--pid-file", "--pidfile2")
_SHORT_PID = {"gunicorn": ("-p",), "hypercorn": ("-p",)}
_CONTROL = ("--master-fifo", "--unix-control", "--rpc-socket")
_LISTEN: Mapping[str, tuple[tuple[str, ...], str]] = {  # options, what to write instead
    "uvicorn": (("--port", "--host", "--uds"), "write --fd 3"),
    "gunicorn": (("--bind", "-b"), "leave it out: gunicorn finds the socket itself"),
    "hypercorn": (("--bind", "-b", "--insecure-bind"), "write --bind fd://3"),
    "daphne": (("--port", "-p", "--bind", "-b", "--unix-socket", "-u"), "write --fd 3"),
    "uwsgi": (("--http", "--http-socket", "--socket"), "leave it out: uWSGI finds the socket"),
}
_FROM_SYSTEMD = ("fd://", "fd=", "fileno=")


def remarks(
    command: Sequence[str], versions: Mapping[str, str], *, socket: bool, overlap: bool
) -> Iterator[str]:
    """Yield the problems of a command's options.

    Args:
        command: begins with its program, or `python -m` and a module.
        versions: of the packages in the venv, by name.
        socket: whether systemd listens for it.
        overlap: whether two releases of it run at the same time.
    """
    program, given = program_of(command), dict(options(command))
    if overlap:
        yield from _shared_files(program, given)
    if program == "gunicorn":
        yield from _of_gunicorn(given, versions.get("gunicorn", ""), overlap=overlap)
    addresses, instead = _LISTEN.get(program, ((), ""))
    for option in addresses if socket else ():
        if option in given and not given[option].startswith(_FROM_SYSTEMD):
            yield (
                f"{option} makes {program} listen itself, besides systemd on the `socket`:"
                f" {instead}"
            )


def _shared_files(program: str, given: Mapping[str, str]) -> Iterator[str]:
    for option in (*_PID, *_SHORT_PID.get(program, ())):
        if option in given:
            yield (
                "two releases run at the same time, and the second finds the pid file of the first:"
                f" leave {option} out, systemd tracks the process"
            )
    for option in _CONTROL:
        if option in given:
            yield (
                f"two releases run at the same time, and {option} is one file for both: leave it"
                " out"
            )


def _of_gunicorn(given: Mapping[str, str], version: str, *, overlap: bool) -> Iterator[str]:
    number = tuple(map(int, re.findall(r"\d+", version)[:2]))
    if overlap and number >= CONTROLLED_GUNICORN and "--no-control-socket" not in given:
        yield (
            f"gunicorn {version} has a control socket, one file for two releases that run at the"
            " same time: write --no-control-socket"
        )
    if number and number < PATIENT_GUNICORN:
        yield (
            f"gunicorn {version} may drop accepted connections when it stops: lock"
            f" gunicorn {PATIENT_GUNICORN[0]} or later, which answers them first"
        )

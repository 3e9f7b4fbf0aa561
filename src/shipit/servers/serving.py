"""Expand a `serve:` line: the command with all that its server needs for a hand-over.

Pure, except for reading our own programs.

    expand("uvicorn myapp:app", has_socket=True, side_by_side=True).command
    uvicorn myapp:app --timeout-graceful-shutdown 25 --fd 3 --http patient_uvicorn:PatientProtocol

What the line has stays as it is: an option that is in it is not added.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shipit.servers import argv
from shipit.servers.known import SERVERS, Option, Serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MARGIN = 5.0  # seconds that a server ends before systemd kills it, so that the app can shut down
SERVED = tuple(name for name, server in SERVERS.items() if server.serving and " " not in name)
_WORKER = re.compile(
    r"(?<=\s)(-k\s*|--worker-class[\s=]\s*)uvicorn(_worker|\.workers)\.UvicornWorker(?!\S)"
)
_PATIENT_WORKER = r"\1patient_gunicorn.PatientWorker"


@dataclass(frozen=True)
class Served:
    """What a `serve:` line became; as the keys of a service.

    Attributes:
        command: begins with the program of the server's package.
        stop_timeout: seconds.
    """

    command: str
    stop_timeout: float
    stop_signal: str = ""
    workdir: str = ""


def expand(
    line: str, *, has_socket: bool, side_by_side: bool, stop_timeout: float | None = None
) -> Served:
    """Return what a `serve:` line becomes; it begins with one of `SERVED`.

    Args:
        line: in the syntax of a service's `command`.
        has_socket: whether systemd listens for it.
        side_by_side: whether several processes of it may run at the same time.
        stop_timeout: in seconds, if the playbook has it.
    """
    serving, given = _serving(line), argv.options(_words(line))
    own = [each for each in serving.options if "{grace" in each.value]
    stop = stop_timeout or _beyond(own, given) or serving.stop_timeout
    wanted = (
        *serving.options,
        *(serving.behind_socket if has_socket else ()),
        *(serving.side_by_side if side_by_side else ()),
    )
    if programs_of(line, has_socket=has_socket):
        line = _WORKER.sub(_PATIENT_WORKER, line)
    added = [_written(option, stop) for option in wanted if not given.keys() & set(option.names)]
    command = " ".join([_started(line, serving), *added])
    return Served(command, stop, serving.stop_signal, serving.workdir)


def programs_of(line: str, *, has_socket: bool) -> tuple[str, ...]:
    """Return the programs that a release brings along for a `serve:` line, or for none ("").

    They are of `servers/programs`; the first one runs instead of the package's own.
    """
    return _serving(line).programs if line and has_socket else ()


def program_text(name: str) -> str:
    """Return the text of one of `servers/programs`."""
    return (Path(__file__).parent / "programs" / name).read_text(encoding="utf-8")


def is_single(line: str) -> bool:
    """Whether two of this server must never run at once."""
    return _serving(line).is_single


def listens(line: str) -> bool:
    """Whether this server has clients; a task worker has none."""
    return SERVERS[_name(line)].listens


def unsupported(line: str, versions: Mapping[str, str]) -> Iterator[str]:
    """Yield the packages that a line needs behind a socket, and that no supported version is of.

    Args:
        line: the `serve:` line.
        versions: of the packages in the venv, by name.
    """
    for package in _serving(line).needs:
        found = versions.get(package.name)
        number = tuple(map(int, re.findall(r"\d+", found or "")))
        if found and number >= package.since and not (package.before and number >= package.before):
            continue
        wanted = f" {_dotted(package.since)} or later" if package.since else ""
        below = f", before {_dotted(package.before)}" if package.before else ""
        locked = f"{found} is locked" if found else "it is not locked"
        yield f"`serve: {_name(line)}` needs {package.name}{wanted}{below}; {locked}"


def _name(line: str) -> str:
    """Return the server's row of the table: `gunicorn -k uvicorn` has one of its own."""
    return argv.server_of(_words(line))[0]


def _serving(line: str) -> Serving:
    serving = SERVERS[_name(line)].serving
    if serving is None:
        raise ValueError(f"{line} begins with none of {SERVED}")
    return serving


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:  # systemd reports the quote that is not closed
        return line.split()


def _started(line: str, serving: Serving) -> str:
    """Return the line with its program and subcommand."""
    name, space, rest = line.partition(" ")
    front = re.match(serving.global_options, space + rest)
    split = front.end() if front else 0
    before, after = (space + rest)[:split], (space + rest)[split:]
    program = f"{serving.program or name}{before}"
    if not serving.subcommand or after.split()[:1] == [serving.subcommand]:
        return program + after
    return f"{program} {serving.subcommand}{after}"


def _beyond(own: list[Option], given: Mapping[str, str]) -> float:
    """Return the seconds that systemd must leave a server whose own limit is given; 0 for none."""
    for option in own:
        for value in (given[name] for name in option.names if given.get(name, "").isdecimal()):
            return int(value) / (1000 if "ms" in option.value else 1) + MARGIN
    return 0.0


def _written(option: Option, stop: float) -> str:
    grace = max(1, int(stop - min(MARGIN, stop / 5)))
    value = option.value.format(stop=max(1, int(stop)), grace=grace, grace_ms=1000 * grace)
    return f"{option.names[0]} {value}".rstrip()


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))

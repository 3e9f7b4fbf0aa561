"""Relay the log of units, as journalctl prints it.

`stream` ends with the log or, with `follow`, when the controller closes. It uses bounded memory,
however many and however long the lines are.
"""

import os
import select
import subprocess
from typing import Callable, Iterable, Iterator, List, Tuple

from ..host.log_reader import PLAIN
from ..protocol.manifest import Manifest
from ..protocol.messages import AskLogs, Failure
from ..records import releases
from ..system.failures import Refused
from ..system.paths import Paths
from ..system.process import clean_environment, located

CHUNK = 64 * 1024  # bytes
POLL_PAUSE = 250  # milliseconds between checks for the controller
LINES_LIMIT = 100_000
LINE_LIMIT = 64 * 1024  # bytes of one line, more or less
CUT = b" [... the rest of this line is left out]\n"
# Suffixes of a service's units, in any release and on trial.
UNITS = (".service", ".socket", ".timer", "@trial.service", "@trial.socket", "@*.service")


def unit_names(paths: Paths, ask: AskLogs) -> Tuple[str, ...]:
    """Return the units whose log is requested, some as patterns; with all services shipit's own.

    Includes units of trials and of failed or removed releases, from the playbook's services.

    Raises:
        Refused: nothing-deployed or unknown-service.
    """
    _require_an_attempt(paths)
    known = [unit for found in _manifests(paths) for unit in found.units]
    services = dict.fromkeys([*(unit.service for unit in known), *ask.services])
    wanted = [name for name in services if ask.service in ("", name)]
    if not wanted:
        what = f"{paths.app} has no service {ask.service}"
        hint = f"its services are: {', '.join(sorted(services)) or 'none'}"
        raise Refused(Failure("unknown-service", what, "logs", hint))
    own = [unit.name for unit in known if unit.service in wanted]
    others = [f"{paths.app}-{name}{end}" for name in wanted for end in UNITS]
    agents = () if ask.service else (paths.unit,)
    return tuple(dict.fromkeys([*own, *others, *agents]))


def _require_an_attempt(paths: Paths) -> None:
    if not any(os.path.lexists(path) for path in (paths.ledger, paths.journal)):
        what = f"{paths.app} has no release here, and no attempt was made"
        raise Refused(Failure("nothing-deployed", what, "logs", "deploy it first"))


def _manifests(paths: Paths) -> Iterator[Manifest]:
    for release in releases.listed(paths):
        found = releases.manifest(paths, release)
        if found is not None and found.app == paths.app:
            yield found


def stream(ask: AskLogs, names: Tuple[str, ...], is_closed: Callable[[], bool]) -> Iterator[str]:
    """Yield the log in whole lines, some at a time, until `is_closed` returns true.

    Raises:
        Refused: no-journal, program-untrusted.
    """
    try:
        child = subprocess.Popen(
            located(_argv(ask, names)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=clean_environment(),
        )
    except FileNotFoundError:
        what = "journalctl is not on this host"
        raise Refused(Failure("no-journal", what, "logs", "read its logs by hand")) from None
    try:
        for lines in whole_lines(_chunks(child, is_closed)):
            yield lines.decode("utf-8", "replace")
    finally:
        child.kill()
        child.communicate()


def _argv(ask: AskLogs, names: Tuple[str, ...]) -> List[str]:
    lines = max(0, min(ask.lines, LINES_LIMIT))
    argv = [*PLAIN, f"--lines={lines}", *(["--follow"] if ask.follow else [])]
    return [*argv, *(f"--unit={name}" for name in names)]


def _chunks(child: "subprocess.Popen[bytes]", is_closed: Callable[[], bool]) -> Iterator[bytes]:
    assert child.stdout is not None  # noqa: S101 - asked for above
    descriptor = child.stdout.fileno()
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while not is_closed():
        if not poll.poll(POLL_PAUSE):
            continue
        chunk = os.read(descriptor, CHUNK)
        if not chunk:
            return
        yield chunk


def whole_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield whole lines, some at a time; the last one may lack its newline.

    Cuts a line that is too long, and drops the rest of it.
    """
    begun, is_cut = b"", False
    for chunk in chunks:
        rest = chunk
        if is_cut:
            _, newline, rest = chunk.partition(b"\n")
            is_cut = not newline
        whole, newline, begun = (begun + rest).rpartition(b"\n")
        if newline:
            yield whole + newline
        if len(begun) > LINE_LIMIT:
            yield begun[:LINE_LIMIT] + CUT
            begun, is_cut = b"", True
    if begun:
        yield begun

"""Pass on what the app's units have logged, as journalctl tells it.

Ends when all has been told, or with `follow` when the controller closes. Starts one journalctl.
"""

import os
import select
import subprocess
from typing import Callable, Iterator, List, Optional, Tuple

from .contents import Manifest
from .failures import Refused
from .paths import Paths
from .process import clean_environment, located
from .protocol import AskLogs, Failure

CHUNK = 64 * 1024  # bytes
LOOK = 250  # milliseconds between looks at whether the controller is still there
LINES_LIMIT = 100_000


def unit_names(paths: Paths, manifest: Optional[Manifest], service: str) -> Tuple[str, ...]:
    """Return the units whose log is asked for; with all services also shipit's own.

    Raises:
        Refused: nothing-deployed or unknown-service.
    """
    if manifest is None:
        what = f"{paths.app} has no release here"
        raise Refused(Failure("nothing-deployed", what, "logs", "deploy it first"))
    names = tuple(u.name for u in manifest.units if service in ("", u.service))
    if not names:
        known = ", ".join(sorted({unit.service for unit in manifest.units}))
        what = f"{paths.app} has no service {service}"
        raise Refused(Failure("unknown-service", what, "logs", f"its services are: {known}"))
    return names if service else (*names, paths.unit)


def stream(ask: AskLogs, names: Tuple[str, ...], is_gone: Callable[[], bool]) -> Iterator[str]:
    """Yield the log in whole lines, some at a time; `is_gone` says that nobody listens any more.

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
        yield from _lines(child, is_gone)
    finally:
        child.kill()
        child.communicate()


def _argv(ask: AskLogs, names: Tuple[str, ...]) -> List[str]:
    lines = max(0, min(ask.lines, LINES_LIMIT))
    argv = ["journalctl", "--quiet", "--no-pager", "--output=short-iso", f"--lines={lines}"]
    argv += ["--follow"] if ask.follow else []
    return [*argv, *(f"--unit={name}" for name in names)]


def _lines(child: "subprocess.Popen[bytes]", is_gone: Callable[[], bool]) -> Iterator[str]:
    assert child.stdout is not None  # noqa: S101 - asked for above
    descriptor = child.stdout.fileno()
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    rest = b""
    while not is_gone():
        if not poll.poll(LOOK):
            continue
        chunk = os.read(descriptor, CHUNK)
        whole, newline, rest = (rest + chunk).rpartition(b"\n")
        if newline:
            yield (whole + newline).decode("utf-8", "replace")
        if not chunk:
            break
    if rest:
        yield rest.decode("utf-8", "replace")

"""Run a long command of another program, and pass on what it says while it says it.

Promises that the command has ended when `follow` returns or raises, whatever ends the waiting. It
is asked to end first (SIGINT, as Ctrl-C), so that it can put away what it had begun; a Ctrl-C of
this terminal does not reach it by itself.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, TextIO

from shipit.lab.lab import LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

_PAUSE_SECONDS = 0.1
_GRACE_SECONDS = 60.0


def follow(
    argv: Sequence[str],
    log: Path,
    *,
    env: Mapping[str, str],
    tell: Callable[[str], None],
    timeout: float,
) -> int:
    """Run a command in its log's folder; returns its exit status.

    Args:
        argv: the command.
        log: takes all that it prints; written anew.
        env: its environment.
        tell: is given each line.
        timeout: in seconds.

    Raises:
        LabError: it took longer, or there is no such command.
    """
    deadline = time.monotonic() + timeout
    # Its output goes to a file: a pipe would stay open as long as any child of its lives.
    with log.open("wb") as sink, log.open(errors="replace") as source:
        process = _started(argv, log.parent, env, sink)
        lines = _lines(source, process)
        try:
            for line in lines:
                if line:
                    tell(line)
                elif time.monotonic() > deadline:
                    what = f"{' '.join(argv)} was not done after {timeout:.0f} s"
                    raise LabError("lab-command-timeout", f"{what}; see {log}")
        finally:
            _end(process)
    return process.returncode


def _started(
    argv: Sequence[str], folder: Path, env: Mapping[str, str], sink: BinaryIO
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            argv,
            cwd=folder,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise LabError("lab-command-missing", f"no such command: {argv[0]}") from error


def _lines(source: TextIO, process: subprocess.Popen[bytes]) -> Iterator[str]:
    """Give the lines of a file that a process writes to, and an empty one for every pause."""
    rest = ""
    while True:
        has_ended = process.poll() is not None
        *lines, rest = (rest + source.read()).split("\n")
        yield from (line for line in lines if line)
        if has_ended:
            yield from filter(None, [rest])
            return
        yield ""
        with suppress(subprocess.TimeoutExpired):
            process.wait(_PAUSE_SECONDS)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, and insist in the end; a second Ctrl-C insists at once."""
    if process.poll() is not None:
        return
    try:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

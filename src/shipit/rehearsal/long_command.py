"""Run a long command and pass on its output while it runs.

The command has ended when `follow` returns or raises. It gets SIGINT first so that it can clean up;
a Ctrl-C of this terminal does not reach it directly.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from shipit.lab.commands import LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_PAUSE_SECONDS = 0.1
_GRACE_SECONDS = 60.0


def follow(
    argv: Sequence[str],
    log: Path,
    *,
    env: Mapping[str, str],
    on_line: Callable[[str], None],
    timeout: float,
) -> int:
    """Run a command in its log's folder and return its exit status.

    Args:
        argv: the command.
        log: the file for its output; overwritten.
        env: its environment.
        on_line: called with each line.
        timeout: in seconds.

    Raises:
        LabError: it timed out, or there is no such command.
    """
    # Its output goes to a file: a pipe would stay open as long as any child of its lives.
    with log.open("wb") as sink, log.open(errors="replace") as source:
        try:
            process = subprocess.Popen(
                argv,
                cwd=log.parent,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise LabError("lab-command-missing", f"no such command: {argv[0]}") from error
        try:
            if not _pass_on(process, source, on_line, time.monotonic() + timeout):
                what = f"{' '.join(argv)} did not finish within {timeout:.0f} s"
                raise LabError("lab-command-timeout", f"{what}; see {log}")
        finally:
            _end(process)
    return process.returncode


def _pass_on(
    process: subprocess.Popen[bytes],
    source: TextIO,
    on_line: Callable[[str], None],
    deadline: float,
) -> bool:
    """Call `on_line` with each line that a process writes to a file; return whether it ended."""
    rest, has_ended = "", False
    while not has_ended:
        if time.monotonic() > deadline:
            return False
        with suppress(subprocess.TimeoutExpired):
            process.wait(_PAUSE_SECONDS)
        has_ended = process.returncode is not None
        *lines, rest = (rest + source.read()).split("\n")
        for line in filter(None, [*lines, rest] if has_ended else lines):
            on_line(line)
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    """Send SIGINT, then kill; a second Ctrl-C kills at once."""
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

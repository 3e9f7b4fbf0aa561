"""Run a command on the controller, as the user who deploys, without a shell.

When it ends, or its time is over, all processes that it has started are killed.
"""

from __future__ import annotations

import os
import selectors
import shlex
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

POLL = 0.1  # seconds within which an interrupt is noticed
SHOWN = 64 * 1024  # bytes of its output that are passed on
KEPT = 16 * 1024  # bytes of its end that are reported with a failure
CHUNK = 64 * 1024
KILLED = 5.0  # seconds in which a killed command must be gone
LONGEST_VARIABLE = 100_000  # bytes; Linux starts no program with one of 128 KiB


@dataclass(frozen=True)
class Command:
    """What is run, and how; `timeout` is in seconds."""

    words: str
    folder: Path
    environment: Mapping[str, str]
    timeout: float


@dataclass(frozen=True)
class Ended:
    """How it ended: its exit status, None if it has none; and in words how it has failed, or ""."""

    status: int | None
    wrong: str = ""


def fitting(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that are not too long to start a program with."""
    return {n: value for n, value in variables.items() if len(value.encode()) <= LONGEST_VARIABLE}


def run(command: Command, lines: Lines, is_stopped: Callable[[], bool]) -> Ended:
    """Run a command, and pass its output on."""
    try:
        child = subprocess.Popen(
            shlex.split(command.words),
            cwd=command.folder,
            env=dict(command.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return Ended(None, f"could not be started: {error.strerror or error}")
    except ValueError as error:  # a NUL in a word or in a variable
        return Ended(None, f"could not be started: {error}")
    try:
        wrong = _followed(child, command.timeout, lines, is_stopped)
    finally:  # also after a second Ctrl-C
        is_gone = _kill_group(child)
    lines.read_rest(child)
    if child.stdout:
        child.stdout.close()
    if child.returncode is None:
        still = f"process {child.pid} still runs, as another user"
        return Ended(None, f"{wrong}, and could not be killed: {still}")
    if not is_gone:
        lines.add(f"[... its processes of another user could not be killed: group {child.pid}]")
    return Ended(None, wrong) if wrong else _end(child.returncode)


def _followed(
    child: subprocess.Popen[bytes], timeout: float, lines: Lines, is_stopped: Callable[[], bool]
) -> str:
    """Pass the output on until it ends; return in words why it has to be killed, or ""."""
    deadline = time.monotonic() + timeout
    while child.poll() is None:
        lines.read_from(child, POLL)
        if is_stopped():
            return "was interrupted"
        if time.monotonic() >= deadline:
            return f"did not end within {timeout:g} s"
    return ""


def _kill_group(child: subprocess.Popen[bytes]) -> bool:
    """Kill what it has started; return False if others' processes are left.

    Popen's own `__exit__` would wait for ever: a command such as sudo belongs to another user.
    """
    _signal_group(child.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        child.wait(KILLED)
    return _signal_group(child.pid, 0)


def _signal_group(group: int, number: int) -> bool:
    """Send a signal to a process group; return False if no process of it may be sent one."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return True


def _end(status: int) -> Ended:
    if status < 0:
        return Ended(None, f"was killed by signal {-status}")
    return Ended(status, f"ended with exit status {status}" if status else "")


class Lines:
    """Passes output on in whole lines: of very much the beginning, and keeps its end."""

    def __init__(self, heard: Callable[[str], None]) -> None:
        self._heard = heard
        self._open, self._end, self._total = b"", b"", 0

    @property
    def end_of_all(self) -> str:
        return self._end.decode("utf-8", "replace")

    def read_from(self, child: subprocess.Popen[bytes], wait: float) -> bool:
        """Read the next output; return whether there was any."""
        if child.stdout is None or not _is_readable(child.stdout, wait):
            return False
        chunk = os.read(child.stdout.fileno(), CHUNK)
        if not chunk:
            time.sleep(wait)  # it has closed its output, and has not ended
            return False
        shown = chunk[: max(0, SHOWN - self._total)]
        self._total += len(chunk)
        self._end = (self._end + chunk)[-KEPT:]
        *whole, self._open = (self._open + shown).split(b"\n")
        for line in whole:
            self._pass_on(line)
        return True

    def read_rest(self, child: subprocess.Popen[bytes]) -> None:
        """Read what is left in the pipe, and pass the last line on."""
        while self._total < SHOWN + KEPT and self.read_from(child, 0.0):
            pass
        if self._open:
            self._pass_on(self._open)
        if self._total > SHOWN:
            self.add("[... more output is not shown]")

    def add(self, line: str) -> None:
        self._heard(line)

    def _pass_on(self, line: bytes) -> None:
        self._heard(line.decode("utf-8", "replace").rstrip("\r"))


def _is_readable(pipe: IO[bytes], wait: float) -> bool:
    """Whether a pipe has output within this time; select() knows no descriptor above 1023."""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        return bool(selector.select(wait))

"""Run commands of this machine, and wait for it; each has a time limit."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from shipit.errors import ShipitError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path


class LabError(ShipitError):
    """The lab could not be built, booted or reached; no real host is affected.

    Attributes:
        code: kebab-case and stable.
        what: what happened, with the output of the command or console.
        hint: what to do about it.
    """

    def __init__(self, code: str, what: str, *, hint: str = "") -> None:
        super().__init__(f"{what} [{code}]" + (f"\n  {hint}" if hint else ""))
        self.code, self.what, self.hint = code, what, hint


def poll_until(is_done: Callable[[], bool], timeout: float, pause: float) -> bool:
    """Ask until it is done, and return True; False if it is not after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not is_done():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


@contextmanager
def held(lock: Path, *, timeout: float) -> Iterator[None]:
    """Hold the kernel's lock on a file; it is released when its owner ends.

    Raises:
        LabError: another process still holds it after `timeout` seconds.
    """
    with lock.open("w") as file:

        def is_ours() -> bool:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        if not poll_until(is_ours, timeout, pause=0.02):
            what = f"another process holds {lock} for more than {timeout:.0f} s"
            raise LabError("lab-busy", what, hint=f"see who does: fuser -v {lock}")
        yield


def call(*argv: str, given: str = "", timeout: float = 30.0) -> str:
    """Run a command of this machine and return its output.

    Raises:
        LabError: it failed, with its output, or ran longer than `timeout` seconds.
    """
    done = finish(argv, given=given.encode(), timeout=timeout)
    if done.returncode:
        words = (done.stderr or done.stdout).decode(errors="replace").strip()
        what = f"{' '.join(argv)} ended with {done.returncode}: {words[-2000:]}"
        raise LabError("lab-command-failed", what)
    return done.stdout.decode(errors="replace")


def finish(
    argv: tuple[str, ...],
    *,
    given: bytes = b"",
    timeout: float,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end; if the wait is interrupted, kill the command's process group.

    Raises:
        LabError: it ran longer than `timeout` seconds, or there is no such command.
    """
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(
            argv, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, start_new_session=True
        )
    except FileNotFoundError as error:
        raise LabError("lab-command-missing", f"no such command: {argv[0]}") from error
    with process:
        try:
            out, err = process.communicate(given, timeout=timeout)
        except subprocess.TimeoutExpired:
            words = f"{' '.join(argv)} did not finish within {timeout:.0f} s"
            raise LabError("lab-command-timeout", words) from None
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(argv, process.returncode, out, err)

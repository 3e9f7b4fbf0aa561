"""Run the programs that build, fetch and sign: git, uv, pip and ssh-keygen.

Each runs for a limited time, in a process group of its own and without a terminal, unless it may
ask for a passphrase. Their settings (indexes, credentials, proxies, certificates) are the user's
own: environment, configuration files, netrc and keyring, as these programs read them.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from uv import find_uv_bin

from shipit.errors import InputError, Mistake, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

GIT, BUILD, FETCH = 60.0, 1800.0, 3600.0  # seconds
AFTER_KILL = 5.0  # seconds
_CREDENTIALS = re.compile(r"://[^/\s@]*@")  # of a URL
_SHOWN = 30  # lines of output in an error
_WATCH_PAUSE = 0.25  # seconds
_UMASK = 0o022  # whatever the user's: it decides about modes in what is built


def uv() -> list[str]:
    """Return how to call uv: the one that came with shipit, or that of PATH."""
    try:
        return [find_uv_bin()]
    except FileNotFoundError:
        return ["uv"]


def pip() -> list[str]:
    """Return how to call pip."""
    return [sys.executable, "-m", "pip", "--disable-pip-version-check"]


@dataclass(frozen=True)
class Program:
    """A call of a program.

    Attributes:
        what: what it does, for errors: "build the wheel of demoapp".
        argv: the program and its arguments; never a secret.
        cwd: the folder it runs in.
        seconds: after which it is killed, with all that it has started.
        more: environment variables besides those of this process.
        feed: what it reads from stdin.
        may_ask: whether it keeps the terminal, to ask for a passphrase or a touch of a token.
    """

    what: str
    argv: Sequence[str]
    cwd: Path
    seconds: float
    more: Mapping[str, str] = field(default_factory=dict)
    feed: str = field(default="", repr=False)
    may_ask: bool = False

    def checked(
        self,
        code: str,
        place: Place | None = None,
        hint: str = "",
        watch: Callable[[], None] | None = None,
    ) -> str:
        """Return what it prints to stdout; `watch` as for `attempt`.

        Raises:
            InputError: with this code and place, if it fails; the output is its evidence.
        """
        status, output, errors = self.attempt(watch)
        if status == 0:
            return output
        what = f"cannot {self.what}: {self._reason(status, errors or output)}"
        raise InputError(Mistake(code, what, place, hint, evidence=tail(output + errors)))

    def _reason(self, status: int | None, said: str) -> str:
        if status is None:
            return f"it took longer than {self.seconds:g} s"
        if self._stderr() is None:
            return f"it ended with status {status}; its message is above"
        return reason_in(said)

    def attempt(self, watch: Callable[[], None] | None = None) -> tuple[int | None, str, str]:
        """Return its exit status, None after a timeout, and what it printed to stdout and stderr.

        Args:
            watch: is called a few times a second while it runs; what it raises ends the program.

        Raises:
            InputError: it cannot be started (program-missing).
        """
        try:
            process = subprocess.Popen(
                self.argv,
                cwd=self.cwd,
                env={**os.environ, **self.more},
                stdin=subprocess.PIPE if self.feed else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._stderr(),
                text=True,
                errors="replace",
                start_new_session=not self.may_ask,
                umask=_UMASK,
            )
        except OSError as error:
            what = f"cannot {self.what}: {self.argv[0]} cannot be started: {error.strerror}"
            raise InputError(Mistake("program-missing", what)) from error
        try:
            output, errors = self._output(process, watch)
        except subprocess.TimeoutExpired:
            return None, "", ""
        finally:
            if process.poll() is None:
                self._kill(process)
        return process.returncode, output, errors or ""

    def _stderr(self) -> int | None:
        """Return where it speaks to: the terminal, if it may ask there; else it is kept."""
        return None if self.may_ask and sys.stderr.isatty() else subprocess.PIPE

    def _kill(self, process: subprocess.Popen[str]) -> None:
        if self.may_ask:  # it is in our own group
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):  # what it has started may hold the pipes
            process.communicate(timeout=AFTER_KILL)
        with suppress(subprocess.TimeoutExpired):
            process.wait(AFTER_KILL)
        for stream in filter(None, (process.stdin, process.stdout, process.stderr)):
            with suppress(OSError):  # it has not read all that it was to be fed
                stream.close()

    def _output(
        self, process: subprocess.Popen[str], watch: Callable[[], None] | None
    ) -> tuple[str, str]:
        """Return what it has printed at its end; communicate loses nothing after a timeout."""
        feed = self.feed or None
        if watch is None:
            return process.communicate(feed, timeout=self.seconds)
        deadline = time.monotonic() + self.seconds
        while True:
            watch()
            try:
                return process.communicate(feed, timeout=_WATCH_PAUSE)
            except subprocess.TimeoutExpired:
                feed = None  # it was handed over
                if time.monotonic() >= deadline:
                    raise


def reason_in(text: str) -> str:
    """Return the line of a program's output that says why it failed: an error, or the last one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["it printed nothing"]
    errors = [line for line in lines if line.lower().startswith("error")]
    return without_credentials((errors or lines)[-1])


def tail(text: str) -> str:
    """Return the end of a program's output, as the evidence of an error."""
    return without_credentials("\n".join(text.strip().splitlines()[-_SHOWN:]))


def without_credentials(text: str) -> str:
    """Mask user and password in the URLs of a text."""
    return _CREDENTIALS.sub("://***@", text)

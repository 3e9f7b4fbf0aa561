"""Run a program with a timeout, and keep the end of its output.

Promises: no shell, no secret in an argv unless the caller puts it there, and the program inherits
nothing of the agent: no environment, no descriptor, no OOM score. Only the end of the output is
held in memory. When a call returns, the program's process group has ended. A program named without
its folder is searched in the system's folders, and only where root alone can write. Use it for
programs that root trusts: others could leave their group, and run in a unit (`transient`).
`host` talks to systemd.
"""

import errno
import os
import select
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Callable, Dict, List, Mapping, Optional, Sequence

from ..protocol.messages import Failure
from . import trust
from .failures import Refused

OUTPUT_LIMIT = 16 * 1024  # bytes kept of the end of the output, unless more are asked for
CHUNK = 64 * 1024  # bytes; what a pipe holds
WATCH_PAUSE = 0.25  # seconds
SHORTEST_NAP, LONGEST_NAP = (
    0.0005,
    0.05,
)  # seconds between polls of a program that has closed its output
KILL_WAIT = 10.0  # seconds; a program that hangs in the kernel may take longer
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NO_FOLDER = "/nonexistent"


@dataclass(frozen=True)
class Done:
    """How a program ended: its exit status (negative: the signal), and the end of its output."""

    status: int
    output: str
    timed_out: bool = False

    @property
    def ok(self) -> bool:
        return self.status == 0 and not self.timed_out

    def end(self, timeout: float) -> str:
        """Return in words how it ended."""
        if self.timed_out:
            return f"did not end within {timeout:g} s"
        if self.status < 0:
            return f"was killed by signal {-self.status}"
        return f"ended with exit status {self.status}"


def clean_environment(extra: Optional[Mapping[str, str]] = None) -> Dict[str, str]:
    """Return an environment that depends only on the argument.

    Its PATH has only folders that root alone can write.
    """
    folders = [folder for folder in SYSTEM_PATH.split(":") if not trust.weakness(folder)]
    path = ":".join(folders) or NO_FOLDER  # an empty PATH would mean the current directory
    return {"PATH": path, "LC_ALL": "C.UTF-8", "HOME": "/", **(extra or {})}


def program(name: str) -> Optional[str]:
    """Return the path of a program of the system that root may run, None where there is none.

    Skips one that users other than root can change: a later folder may have the system's own.

    Raises:
        Refused: program-untrusted: other users can change all of them.
    """
    weak: Optional[trust.Weakness] = None
    for folder in SYSTEM_PATH.split(":"):
        path = os.path.join(folder, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            found = trust.weakness(path)
            if found is None:
                return path
            weak = weak or found
    if weak is None:
        return None
    what = f"root does not run {name}, which other users can change: {weak}"
    raise Refused(Failure("program-untrusted", what, "", weak.cure))


def unwatched() -> None:
    """Let a program run as long as its timeout allows."""


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    environment: Optional[Mapping[str, str]] = None,
    watch: Callable[[], None] = unwatched,
    keep: int = OUTPUT_LIMIT,
    keep_start: bool = False,
) -> Done:
    """Run a program without a stdin; stdout and stderr are combined.

    `keep`: bytes of the end of its output to return; with `keep_start` of its beginning. `watch` is
    called a few times a second; an exception from it ends the program and is raised here.

    Raises:
        OSError: the program could not be started.
        Refused: program-untrusted.
    """
    child = subprocess.Popen(
        located(argv),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
        cwd="/",
        env=dict(clean_environment() if environment is None else environment),
        start_new_session=True,
    )
    _reset_oom_score(child.pid)
    assert child.stdout is not None  # noqa: S101 - asked for above
    with child.stdout as stream:
        output = _Output(stream, keep, keep_start=keep_start)
        timed_out = _finish(child, output, timeout, watch)
    status = -signal.SIGKILL if child.returncode is None else child.returncode
    return Done(status, output.text(), timed_out)


def located(argv: Sequence[str]) -> List[str]:
    """Return an argv with the program's path; the caller answers for a given path.

    Raises:
        FileNotFoundError: the system has no such program.
        Refused: program-untrusted.
    """
    name, *arguments = argv
    path = name if "/" in name else program(name)
    if path is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    return [path, *arguments]


def _reset_oom_score(pid: int) -> None:
    """Let the kernel kill the program before the driver, whose OOM score protects it."""
    path = f"/proc/{pid}/oom_score_adj"
    with suppress(OSError), open(path, "w", encoding="ascii") as stream:  # it may have ended
        stream.write("0")


class _Output:
    """A program's output: holds at most twice `keep` bytes in memory."""

    def __init__(self, stream: "IO[bytes]", keep: int, *, keep_start: bool) -> None:
        self._descriptor = stream.fileno()
        os.set_blocking(self._descriptor, False)
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN)
        self._keep, self._keep_start = keep, keep_start
        self._kept, self._total = bytearray(), 0
        self._is_open, self._nap = True, SHORTEST_NAP

    def wait(self, pause: float) -> None:
        """Read what comes next, waiting at most `pause` seconds."""
        if self._is_open:
            if self._poll.poll(pause * 1000):
                self._take()
            return
        time.sleep(min(pause, self._nap))
        self._nap = min(2 * self._nap, LONGEST_NAP)

    def drain(self) -> None:
        """Read what is in the pipe, even if others hold it open."""
        left = self._total + CHUNK
        while self._is_open and self._total < left and self._poll.poll(0):
            self._take()

    def _take(self) -> None:
        chunk = os.read(self._descriptor, CHUNK)
        self._is_open = bool(chunk)
        self._total += len(chunk)
        if self._keep_start:
            self._kept += chunk[: self._keep - len(self._kept)]
            return
        self._kept += chunk
        if len(self._kept) > 2 * self._keep:
            del self._kept[: -self._keep]

    def text(self) -> str:
        """Return the kept output, and how much was left out."""
        kept = self._kept[: self._keep] if self._keep_start else self._kept[-self._keep :]
        text, left_out = kept.decode("utf-8", "replace"), self._total - len(kept)
        if not left_out:
            return text
        note = f"[... {left_out} bytes left out]"
        return f"{text}\n{note}" if self._keep_start else f"{note}\n{text}"


def _finish(
    child: "subprocess.Popen[bytes]", output: _Output, timeout: float, watch: Callable[[], None]
) -> bool:
    """Wait for the child and end its process group; return whether it had to be killed."""
    deadline = time.monotonic() + timeout
    try:
        while not _has_ended(child):
            left = deadline - time.monotonic()
            if left <= 0:
                return True
            output.wait(min(left, WATCH_PAUSE))
            watch()
        return False
    finally:
        _kill_group(child)
        output.drain()


def _has_ended(child: "subprocess.Popen[bytes]") -> bool:
    """Return whether it has ended, and leave it a zombie, so that its pid is not reused."""
    return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill_group(child: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        child.wait(KILL_WAIT)

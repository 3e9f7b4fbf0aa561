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
from contextlib import closing, suppress
from typing import Callable, Dict, List, Mapping, Optional, Sequence

from ..protocol.messages import Failure
from ..protocol.values import dataclass
from . import trust
from .failures import Refused

OUTPUT_LIMIT = 16 * 1024  # bytes kept of the end of the output, unless more are asked for
CHUNK = 64 * 1024  # bytes; what a pipe holds
WATCH_PAUSE = 0.25  # seconds
SHORTEST_NAP, LONGEST_NAP = 0.0005, 0.05  # seconds between looks, once its output is closed
KILL_WAIT = 10.0  # seconds; a program that hangs in the kernel may take longer
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NO_FOLDER = "/nonexistent"


@dataclass(frozen=True)
class Done:
    """How a program ended: its exit status (negative: the signal), and the end of its output."""

    status: int
    output: str
    timed_out: bool = False
    lost: bool = False  # its own end was not seen: the status is that of what waited for it

    @property
    def ok(self) -> bool:
        return self.status == 0 and not self.timed_out and not self.lost

    def end(self, timeout: float) -> str:
        """Return in words how it ended."""
        if self.timed_out:
            return f"did not end within {timeout:g} s"
        if self.lost:
            return "was not seen to end: the connection to systemd was lost, or all was killed"
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


def unheard(_output: bytes) -> None:
    """Leave a program's output to its end."""


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
    running = Running(argv, environment=environment, keep=keep, keep_start=keep_start)
    with closing(running):
        return running.finish(timeout, watch)


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


class Running:
    """A started program, in a process group of its own, which `close` kills at the latest.

    Holds at most twice `keep` bytes of its output in memory.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        environment: Optional[Mapping[str, str]] = None,
        stdin: int = subprocess.DEVNULL,
        stderr: int = subprocess.STDOUT,
        keep: int = OUTPUT_LIMIT,
        keep_start: bool = False,
    ) -> None:
        self._child = subprocess.Popen(
            located(argv),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd="/",
            env=dict(clean_environment() if environment is None else environment),
            start_new_session=True,
        )
        assert self._child.stdout is not None  # noqa: S101 - asked for above
        self._stdout, self._poll = self._child.stdout.fileno(), select.poll()
        self._poll.register(self._stdout, select.POLLIN)
        self._keep, self._keep_start = keep, keep_start
        self._kept, self._total, self._is_open = bytearray(), 0, True
        self._was_killed = False
        self._heard: Callable[[bytes], None] = unheard
        # Let the kernel kill it before the driver, whose OOM score protects it. It may have ended.
        score = f"/proc/{self._child.pid}/oom_score_adj"
        with suppress(OSError), open(score, "w", encoding="ascii") as stream:
            stream.write("0")

    def finish(
        self,
        timeout: float,
        watch: Callable[[], None] = unwatched,
        heard: Callable[[bytes], None] = unheard,
    ) -> Done:
        """Wait for its end, and kill its process group then, or after `timeout` seconds.

        `watch`: as of `run`. `heard` is called with each piece of output as soon as it is there; an
        exception from it ends the program as well.
        """
        self._heard = heard
        deadline, nap, timed_out = time.monotonic() + timeout, SHORTEST_NAP, False
        try:
            while not self._has_ended():
                left = min(deadline - time.monotonic(), WATCH_PAUSE)
                if left <= 0:
                    timed_out = True
                    break
                if self._is_open:
                    self._read(left)
                else:
                    time.sleep(min(left, nap))
                    nap = min(2 * nap, LONGEST_NAP)
                watch()
        finally:
            self._end()
        end = self._total + CHUNK  # of what is in the pipe; others may hold it open
        while self._total < end and self._read(0.0):
            pass
        status = self._child.returncode
        return Done(-signal.SIGKILL if status is None else status, self._text(), timed_out)

    def _has_ended(self) -> bool:
        """Return whether it has ended, and leave it a zombie, so that its pid is not reused."""
        return (
            os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        )

    def _end(self) -> None:
        if self._was_killed:
            return  # its group's number may belong to others now
        self._was_killed = True
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(KILL_WAIT)

    def close(self) -> None:
        """Kill its process group, unless it has ended."""
        self._end()
        if self._child.stdout:
            self._child.stdout.close()

    def _read(self, wait: float) -> bool:
        """Read the next output, waiting at most `wait` seconds; return whether there was any."""
        if not self._is_open or not self._poll.poll(wait * 1000):
            return False
        chunk = os.read(self._stdout, CHUNK)
        self._is_open = bool(chunk)
        self._total += len(chunk)
        if chunk:
            self._heard(chunk)
        if self._keep_start:
            self._kept += chunk[: self._keep - len(self._kept)]
        else:
            self._kept += chunk
            if len(self._kept) > 2 * self._keep:
                del self._kept[: -self._keep]
        return self._is_open

    def _text(self) -> str:
        """Return the kept output, and how much was left out."""
        kept = self._kept[: self._keep] if self._keep_start else self._kept[-self._keep :]
        text, left_out = kept.decode("utf-8", "replace"), self._total - len(kept)
        if not left_out:
            return text
        note = f"[... {left_out} bytes left out]"
        return f"{text}\n{note}" if self._keep_start else f"{note}\n{text}"

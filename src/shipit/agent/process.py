"""Start a program, wait for it with a limit, and keep the end of what it said.

Promises: no shell, nothing of the agent's environment leaks in, no program outlives its limit (its
whole session is killed), no secret in an argv unless the caller puts it there. A program that is
named without its folder is looked for in the system's folders, and only where root alone writes.
Does not speak to systemd: that is `host`.
"""

import errno
import os
import pwd
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Callable, Dict, List, Mapping, Optional, Sequence

from . import trust
from .failures import Refused
from .protocol import Failure

OUTPUT_LIMIT = 16 * 1024  # bytes kept of the end of the output, unless more are asked for
WATCH_PAUSE = 0.25  # seconds
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NO_FOLDER = "/nonexistent"

# Run in a Python of its own: after a fork in a process with threads only an exec is safe.
BECOME = """
import os, sys
user, uid, gid = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
os.initgroups(user, gid)
os.setgid(gid)
os.setuid(uid)
try:
    os.execv(sys.argv[4], sys.argv[4:])
except OSError as error:
    sys.exit("cannot start %s: %s" % (sys.argv[4], error.strerror))
"""


@dataclass(frozen=True)
class Done:
    """How a program ended: its exit status (negative: the signal), and what it said last."""

    status: int
    output: str
    timed_out: bool = False

    @property
    def ok(self) -> bool:
        return self.status == 0 and not self.timed_out

    def end(self, timeout: float) -> str:
        """Say in words how it ended."""
        if self.timed_out:
            return f"did not end within {timeout:g} s"
        if self.status < 0:
            return f"was killed by signal {-self.status}"
        return f"ended with exit status {self.status}"


def clean_environment(extra: Optional[Mapping[str, str]] = None) -> Dict[str, str]:
    """Return an environment that depends on nothing but the caller.

    A program that root runs finds others only in folders that root alone writes.
    """
    folders = [folder for folder in SYSTEM_PATH.split(":") if not trust.weakness(folder)]
    path = ":".join(folders) or NO_FOLDER  # an empty PATH would mean the current directory
    return {"PATH": path, "LC_ALL": "C.UTF-8", "HOME": "/", **(extra or {})}


def program(name: str) -> Optional[str]:
    """Return the path of a program of the system that root may run, None where there is none.

    One that others than root can change is passed over: a later folder may have the system's own.

    Raises:
        Refused: program-untrusted: there are only such that others can change.
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
    what = f"root does not run {name}, which others can change: {weak}"
    raise Refused(Failure("program-untrusted", what, "", weak.cure))


def unwatched() -> None:
    """Let a program run as long as its timeout allows."""


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    environment: Optional[Mapping[str, str]] = None,
    cwd: str = "/",
    watch: Callable[[], None] = unwatched,
    keep: int = OUTPUT_LIMIT,
) -> Done:
    """Run a program without a stdin; stdout and stderr are kept together.

    `keep`: bytes of the end of what it says that are returned.
    `watch` is called a few times a second; what it raises ends the program and comes out of here.

    Raises:
        OSError: the program could not be started.
        Refused: program-untrusted.
    """
    output = _scratch()
    try:
        child = subprocess.Popen(
            located(argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=dict(clean_environment() if environment is None else environment),
            start_new_session=True,
        )
        timed_out = _finish(child, timeout, watch)
        return Done(child.returncode, _tail(output, keep), timed_out)
    finally:
        os.close(output)


def located(argv: Sequence[str]) -> List[str]:
    """Return an argv with the program's path; who gives a path answers for it.

    Raises:
        FileNotFoundError: the system has no such program.
        Refused: program-untrusted.
    """
    name, *arguments = argv
    path = name if "/" in name else program(name)
    if path is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    return [path, *arguments]


def _scratch() -> int:
    """Return a descriptor of a file that nobody else sees."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("output", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as stream:  # Pythons that were built for an old libc lack it
        return os.dup(stream.fileno())


def _finish(child: "subprocess.Popen[bytes]", timeout: float, watch: Callable[[], None]) -> bool:
    """Wait for the child; whether it had to be killed."""
    deadline = time.monotonic() + timeout
    try:
        while True:
            left = deadline - time.monotonic()
            try:
                child.wait(max(0.0, min(left, WATCH_PAUSE)))
            except subprocess.TimeoutExpired:
                if left <= WATCH_PAUSE:
                    _kill_session(child)
                    return True
                watch()
            else:
                return False
    except BaseException:
        _kill_session(child)
        raise


def _kill_session(child: "subprocess.Popen[bytes]") -> None:
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        child.kill()
    child.wait()


def _tail(descriptor: int, keep: int) -> str:
    size = os.fstat(descriptor).st_size
    start = max(0, size - keep)
    text = os.pread(descriptor, keep, start).decode("utf-8", "replace")
    return f"[... {start} bytes left out]\n{text}" if start else text


def as_user(user: str, argv: Sequence[str]) -> Sequence[str]:
    """Return an argv that runs `argv` (an absolute path first) as a user with all its groups.

    Raises:
        KeyError: there is no such user.
    """
    entry = pwd.getpwnam(user)
    who = [user, str(entry.pw_uid), str(entry.pw_gid)]
    return [sys.executable, "-I", "-S", "-c", BECOME, *who, *argv]

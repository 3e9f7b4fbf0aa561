"""Run shipit's command line in forks of a process that has loaded it: half of its CPU is imports.

    warm().run(["deploy", "playbook.yaml"], folder, environment, timeout=300.0)

A fork has its own argv, environment, folder, stdin, stdout and stderr, and ends as a process of its
own does. It is for what commands do. How one starts, and how one dies, is seen with real ones.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any

from shipit.cli import main as command_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LOADED = (
    *(
        "shipit.commands.deploy",
        "shipit.commands.attach",
        "shipit.commands.inspect",
        "shipit.commands.doctor",
    ),
    *("shipit.output.console", "shipit.output.json_lines", "shipit.output.reports"),
)
LONGEST = 1 << 17  # bytes of a request: its environment is the longest part
ANSWER = 64  # bytes
LOADING, ENDING = 300.0, 60.0  # seconds


@dataclass(frozen=True)
class Warm:
    """The process that forks, seen from outside; several threads may use it at once."""

    process: subprocess.Popen[bytes]
    control: socket.socket

    def run(
        self, argv: Sequence[str], folder: Path, environment: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end.

        Raises:
            subprocess.TimeoutExpired: it did not come to one, and was killed; with what it said.
        """
        with TemporaryFile() as out, TemporaryFile() as err:
            mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with mine:
                with theirs:
                    order = {"argv": [*argv], "folder": str(folder), "environment": {**environment}}
                    given = [out.fileno(), err.fileno(), theirs.fileno()]
                    socket.send_fds(self.control, [json.dumps(order).encode()], given)
                status = _awaited(mine, timeout)
            output = (_text(out), _text(err))
        if status is None:
            raise subprocess.TimeoutExpired([*argv], timeout, *output)
        return subprocess.CompletedProcess([*argv], status, *output)

    def end(self) -> None:
        self.control.close()
        self.process.wait(ENDING)


def _awaited(answers: socket.socket, timeout: float) -> int | None:
    """Return a command's exit status; None if it was killed at its limit."""
    answers.settimeout(LOADING)
    pid = int(answers.recv(ANSWER))
    answers.settimeout(timeout)
    try:
        return int(answers.recv(ANSWER))
    except TimeoutError:
        with suppress(ProcessLookupError):  # it ends just now
            os.kill(pid, signal.SIGKILL)
    answers.settimeout(ENDING)
    answers.recv(ANSWER)
    return None


def _text(file: IO[bytes]) -> str:
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode()


@cache
def warm() -> Warm:
    """Return this process's own; it ends with this process."""
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        # -P: this folder's modules are not to stand in for others of their names.
        start = [sys.executable, "-P", __file__, str(theirs.fileno())]
        process = subprocess.Popen(start, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
    made = Warm(process, mine)
    atexit.register(made.end)
    return made


# --- the process that has loaded it --------------------------------------------------------------


def serve(control: socket.socket) -> None:
    """Fork for each request; return in the fork that becomes the command."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for wardens
    while True:
        order, given, _, _ = socket.recv_fds(control, LONGEST, 3)
        if not order:
            sys.exit()
        if not os.fork():
            control.close()
            become(json.loads(order), *given)
            return
        for descriptor in given:
            os.close(descriptor)


def become(order: dict[str, Any], out: int, err: int, answers: int) -> None:
    """Fork again: one becomes the command, the other waits for it and reports its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if command := os.fork():
        with socket.socket(fileno=answers) as told:
            told.send(b"%d" % command)
            told.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(command, 0)[1]))
        os._exit(0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for mine, standard in ((nothing, 0), (out, 1), (err, 2)):
        os.dup2(mine, standard)
    for mine in (nothing, out, err, answers):
        os.close(mine)
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    sys.argv[1:] = order["argv"]


def main() -> None:
    for name in LOADED:
        import_module(name)
    gc.freeze()  # what was loaded stays shared
    serve(socket.socket(fileno=int(sys.argv[1])))
    command_line.entry()


if __name__ == "__main__":
    main()

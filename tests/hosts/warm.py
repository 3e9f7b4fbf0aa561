"""Run shipit's command line in forks of a process that has loaded it: half of its CPU is imports.

    command = warm().start(["deploy", "playbook.yaml"], folder, environment)
    command.send_signal(signal.SIGINT)
    out, err = command.communicate()

A fork has its own argv, environment, folder, stdin, stdout and stderr, and hears signals and ends
as a process of its own does. Some tests start real ones, see `Workspace.start_cold`.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
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
SEQUENCE = socket.SOCK_SEQPACKET
MUCH = 1 << 24  # bytes of what a command may say
LONGEST = 1 << 17  # bytes of a request: its environment is the longest part
ANSWER = 64  # bytes
LOADING, ENDING = 300.0, 60.0  # seconds


@dataclass
class Command:
    """One that has been started, as far as tests use a subprocess.Popen of it."""

    pid: int
    stdout: IO[str]
    errors: IO[bytes]
    answers: socket.socket  # reports its status once
    returncode: int | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def poll(self) -> int | None:
        with self.lock:
            if self.returncode is None and select.select([self.answers], [], [], 0)[0]:
                self.returncode = int(self.answers.recv(ANSWER))
            return self.returncode

    def wait(self) -> int:
        while (status := self.poll()) is None:
            select.select([self.answers], [], [])
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it ends just now
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self) -> tuple[str, str]:
        """Return what is still to be read of its stdout, and all of its stderr, at its end."""
        if self.stdout.closed:
            return "", ""
        with self.stdout, self.errors, self.answers:
            out = self.stdout.read()
            self.wait()
            return out, os.pread(self.errors.fileno(), MUCH, 0).decode()


@dataclass(frozen=True)
class Warm:
    """The process that forks, seen from outside; several threads may use it at once."""

    process: subprocess.Popen[bytes]
    control: socket.socket

    def start(self, argv: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Command:
        mine, theirs = socket.socketpair(socket.AF_UNIX, SEQUENCE)
        reads, writes = os.pipe()
        errors = TemporaryFile()  # noqa: SIM115 - the command's own, until its end
        order = {"argv": [*argv], "folder": str(folder), "environment": {**environment}}
        given = [writes, errors.fileno(), theirs.fileno()]
        with theirs:
            socket.send_fds(self.control, [json.dumps(order).encode()], given)
        os.close(writes)
        mine.settimeout(LOADING)
        return Command(int(mine.recv(ANSWER)), os.fdopen(reads), errors, mine)

    def end(self) -> None:
        self.control.close()
        self.process.wait(ENDING)


@cache
def warm(package: str = "") -> Warm:
    """Return this process's own, of the package in this folder; it ends with this process."""
    mine, theirs = socket.socketpair(socket.AF_UNIX, SEQUENCE)
    with theirs:
        # -P: this folder's modules are not to stand in for others of their names.
        start = [sys.executable, "-P", __file__, str(theirs.fileno())]
        environment = {**os.environ, **({"PYTHONPATH": package} if package else {})}
        process = subprocess.Popen(
            start, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], env=environment
        )
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
        with socket.socket(fileno=answers) as connection:
            connection.send(b"%d" % command)
            connection.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(command, 0)[1]))
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

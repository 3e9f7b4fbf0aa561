"""The port to the machine: systemd, programs, probes, clocks, and the paths that switch a release.

The agent uses the machine only through `Host`, so that tests can replace it by a fake machine with
all its faults. No call waits longer than its timeout. It decides nothing: the caller interprets the
answers. The agent's own files (journal, history, releases) are not behind the port: tests use a
real directory for them.
"""

import os
import time
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Protocol, Sequence, Tuple

from ..protocol.messages import Failure
from ..protocol.values import dataclass
from ..system import files, process, processes
from ..system.failures import Refused, from_os_error
from ..system.ownership import Move
from ..system.process import Done
from ..system.sockets import Endpoint
from . import accept_probe, connect, log_reader, marked, transient
from .answer import Answer, Headers
from .transient import Command

QUICK = 30.0  # seconds; for calls of systemd that wait for no unit
STOP_TIMEOUT = 10.0  # seconds; a unit that is killed at once needs far less
HAND_OVER = 600.0  # seconds for one directory; a million files take about 20
ANSWER_LIMIT = 1024 * 1024  # bytes of `systemctl show`, which prints hundreds of bytes a unit
JOURNAL_SYNC = 5.0  # seconds; a log without its last lines is better than none
MICROSECONDS = 1_000_000
PROPERTIES = {
    "LoadState": "load",
    "ActiveState": "active",
    "SubState": "sub",
    "UnitFileState": "file_state",
    "FragmentPath": "fragment",
    "InvocationID": "invocation",
    "Result": "result",
    "Restart": "restart",
    "MainPID": "main_pid",
    "NRestarts": "restarts",
    "ExecMainCode": "exit_code",
    "ExecMainStatus": "exit_status",
}
NUMBERS = ("main_pid", "restarts", "exit_code", "exit_status")
RELOAD, SINCE = "NeedDaemonReload", "ActiveEnterTimestampMonotonic"
DROP_INS = "DropInPaths"
DRIVER_PROPERTIES = (
    "Type=exec",
    "Restart=on-failure",
    # A driver that was terminated by a signal has not ended its transaction.
    "RestartForceExitStatus=SIGTERM SIGINT SIGHUP SIGPIPE",
    "RestartSec=100ms",
    # Above the limit of states.MOVES: systemd gives up on a driver that always dies at once.
    "StartLimitIntervalSec=600",
    "StartLimitBurst=60",
    "OOMScoreAdjust=-900",
)
OOM_POLICY = "OOMPolicy=continue"  # since systemd 243; earlier versions do so anyway


@dataclass(frozen=True)
class UnitView:
    """A unit as systemd shows it; an unknown one has load `not-found`."""

    name: str
    load: str = "not-found"
    active: str = "inactive"
    sub: str = "dead"
    file_state: str = ""  # enabled, disabled, static ...; "" without a file
    invocation: str = ""  # changes with every start
    result: str = ""
    restart: str = ""  # Restart= of a service: no, on-failure ...
    main_pid: int = 0
    restarts: int = 0
    exit_code: int = 0  # 1 exited, 2 killed, 3 dumped core (CLD_*)
    exit_status: int = 0  # of the main process: its exit status, or the signal
    need_reload: bool = False
    since: float = 0.0  # seconds since the epoch; 0.0 unless active
    drop_ins: Tuple[str, ...] = ()  # drop-in files that change the unit
    fragment: str = ""  # the file that it was read from

    @property
    def is_active(self) -> bool:
        return self.active in ("active", "reloading")

    @property
    def is_up(self) -> bool:
        """Running, starting or stopping: neither inactive nor failed."""
        return self.active not in ("inactive", "failed")


class Host(Protocol):
    """A machine. Raises Refused if it does not answer at all."""

    def systemctl(self, verb: str, names: Sequence[str] = (), *, timeout: float = QUICK) -> Done:
        """Run one systemctl verb on any number of units; the caller judges its exit status.

        `verb` may carry options: "disable --no-reload".
        """

    def show(self, names: Sequence[str]) -> Dict[str, UnitView]:
        """Return the views of units from one call; the result has every name."""

    def start_driver(
        self, unit: str, argv: Sequence[str], *, after: Sequence[str] = (), wait: bool = True
    ) -> Done:
        """Start a transient unit that systemd restarts whenever it dies.

        At shutdown it stops before the units in `after`. `wait`: until it is running; not possible
        while the boot itself waits for the caller.
        """

    def verify(self, unit_paths: Sequence[str], *, options: Sequence[str] = ()) -> Done:
        """Run systemd-analyze verify on unit files."""

    def run(self, argv: Sequence[str], *, timeout: float) -> Done:
        """Run a program of the system as root, and wait for it."""

    def run_as(
        self,
        command: Command,
        *,
        timeout: float,
        watch: Callable[[], None] = process.unwatched,
        heard: Callable[[bytes], None] = process.unheard,
    ) -> Done:
        """Run a program of an app as its user, confined, and wait for it. No such user: Refused.

        Returns how the program itself ended: `lost` if that was not seen, whatever systemd says.
        `watch` and `heard` as in `process.Running.finish`.
        """

    def http(self, url: str, *, timeout: float, via: str = "", headers: Headers = None) -> Answer:
        """GET a URL without following redirects.

        `via`: where to connect instead of to the URL's own host: host:port, or a unix socket's
        path. `headers`: additional ones; Host is also the name for TLS.
        """

    def tcp(self, address: str, port: int, *, timeout: float) -> Answer:
        """Connect and close."""

    def unix(self, path: str, *, timeout: float) -> Answer:
        """Connect to a unix socket and close."""

    def asked(self, to: str, line: str, *, timeout: float) -> str:
        """Send one line to host:port or a unix socket, and return what it answers until it closes.

        Raises:
            OSError: it did not answer, or with too much.
        """

    def accepts(self, at: Endpoint, unit: str) -> bool:
        """Open connections to a listener; return whether a process of the unit accepts one."""

    def free_port(self, address: str) -> int:
        """Return a TCP port that is free now."""

    def memory(self, unit: str) -> int:
        """Return the resident memory of a unit's processes, in bytes."""

    def unit_log(self, unit: str, *, since: float, lines: int) -> str:
        """Return the last lines that a unit logged since a time (seconds since the epoch)."""

    def install(self, path: str, text: str) -> None:
        """Write a file atomically."""

    def remove(self, path: str) -> None:
        """Remove a file, if it exists."""

    def point(self, link: str, target: str) -> None:
        """Point a symlink at a target by rename(2)."""

    def owner(self, path: str) -> Optional[Tuple[int, int]]:
        """Return the uid and gid of a directory; None if it does not exist."""

    def hand_over(self, move: Move, *, lenient: bool) -> None:
        """Chown a directory and its givers' content to its taker; see `trees.chown`."""

    def copy_tree(self, source: str, target: str, owner: int) -> None:
        """Copy a directory of a user into one of root; see `trees.copies`."""

    def link_tree(self, target: str, links: Mapping[str, str]) -> None:
        """Make a directory of hard links to files, by their paths in it; see `trees.links`."""

    def booting(self) -> bool:
        """Whether the machine is still booting."""

    def boot_id(self) -> str: ...

    def boottime(self) -> float:
        """Seconds since boot, suspended time included: the clock of the lease."""

    def now(self) -> float:
        """Seconds on a clock that never jumps."""

    def wall(self) -> float:
        """Seconds since the epoch."""

    def sleep(self, seconds: float) -> None: ...


class RealHost:
    """This machine. `watch` is called while a program runs, and ends it by raising."""

    def __init__(self, watch: Callable[[], None] = process.unwatched) -> None:
        self._watch = watch

    def systemctl(self, verb: str, names: Sequence[str] = (), *, timeout: float = QUICK) -> Done:
        argv = ["systemctl", "--no-pager", "--no-ask-password", *verb.split(), "--", *names]
        return _started(argv, timeout)

    def show(self, names: Sequence[str]) -> Dict[str, UnitView]:
        if not names:
            return {}
        wanted = ",".join([*PROPERTIES, RELOAD, SINCE, DROP_INS])
        argv = ["systemctl", "--no-pager", "show", f"--property={wanted}", "--", *names]
        done = _started(argv, QUICK, keep=ANSWER_LIMIT)
        blocks = done.output.strip("\n").split("\n\n")
        if not done.ok or len(blocks) != len(names):
            how = "gave an unexpected answer" if done.ok else done.end(QUICK)
            hint = "is systemd healthy? systemctl status, journalctl -b -p err"
            raise Refused(Failure("systemd-mute", f"systemctl show {how}", "", hint, done.output))
        epoch = self.wall() - self.now()
        return {name: _view(name, block, epoch) for name, block in zip(names, blocks)}

    def start_driver(
        self, unit: str, argv: Sequence[str], *, after: Sequence[str] = (), wait: bool = True
    ) -> Done:
        command = ["systemd-run", "--quiet", "--collect", f"--unit={unit}"]
        command += [] if wait else ["--no-block"]
        command += [f"--description=shipit: {unit[: -len('.service')]}"]
        command += [f"--property={setting}" for setting in DRIVER_PROPERTIES]
        command += [f"--property=After={' '.join(after)}"] if after else []
        done = _started([*command, f"--property={OOM_POLICY}", "--", *argv], QUICK)
        is_unknown = not done.ok and OOM_POLICY.partition("=")[0] in done.output
        return _started([*command, "--", *argv], QUICK) if is_unknown else done

    def verify(self, unit_paths: Sequence[str], *, options: Sequence[str] = ()) -> Done:
        return _started(["systemd-analyze", "verify", "--man=no", *options, *unit_paths], QUICK)

    def run(self, argv: Sequence[str], *, timeout: float) -> Done:
        return process.run(argv, timeout=timeout, watch=self._watch)

    def run_as(
        self,
        command: Command,
        *,
        timeout: float,
        watch: Callable[[], None] = process.unwatched,
        heard: Callable[[bytes], None] = process.unheard,
    ) -> Done:
        unit, has_ended = command.unit or transient.name(), False

        def watch_both() -> None:
            self._watch()
            watch()

        argv = transient.argv(unit, command, timeout)
        try:
            with _refusing(argv[0]):
                running = process.Running(argv)
            with closing(running):
                done = running.finish(timeout, watch_both, heard)
            ended = marked.ended(done, command.end_mark)
            has_ended = not ended.timed_out and not ended.lost
        finally:
            # systemd-run has ended, by itself if it has lost the bus; but not what it has started
            if not has_ended:
                _started(["systemctl", "stop", "--", unit], STOP_TIMEOUT)
        return ended

    def http(self, url: str, *, timeout: float, via: str = "", headers: Headers = None) -> Answer:
        from . import probes  # noqa: PLC0415 - see its docstring

        return probes.get(url, timeout, via, headers)

    def tcp(self, address: str, port: int, *, timeout: float) -> Answer:
        from . import probes  # noqa: PLC0415 - see its docstring

        return probes.tcp(address, port, timeout)

    def unix(self, path: str, *, timeout: float) -> Answer:
        from . import probes  # noqa: PLC0415 - see its docstring

        return probes.unix(path, timeout)

    def asked(self, to: str, line: str, *, timeout: float) -> str:
        return connect.asked(to, line, timeout)

    def accepts(self, at: Endpoint, unit: str) -> bool:
        return accept_probe.takes(at, unit)

    def free_port(self, address: str) -> int:
        return connect.free_port(address)

    def memory(self, unit: str) -> int:
        return processes.memory_of(unit)

    def unit_log(self, unit: str, *, since: float, lines: int) -> str:
        _started(["journalctl", "--sync"], JOURNAL_SYNC)
        with _refusing("journalctl"):
            return log_reader.last(unit, since, lines)

    def install(self, path: str, text: str) -> None:
        files.write(path, text.encode())

    def remove(self, path: str) -> None:
        files.unlink(path)

    def point(self, link: str, target: str) -> None:
        files.point(link, target)

    def owner(self, path: str) -> Optional[Tuple[int, int]]:
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return status.st_uid, status.st_gid

    def hand_over(self, move: Move, *, lenient: bool) -> None:
        from .trees import chown  # noqa: PLC0415 - only a change of the user needs it

        chown.hand_over(move, timeout=HAND_OVER, lenient=lenient)

    def copy_tree(self, source: str, target: str, owner: int) -> None:
        from .trees import copies  # noqa: PLC0415 - only releases with assets need it

        copies.copy(source, target, owner)

    def link_tree(self, target: str, links: Mapping[str, str]) -> None:
        from .trees import links as trees  # noqa: PLC0415 - only releases with assets need it

        trees.make(target, links)

    def booting(self) -> bool:
        return self.systemctl("is-system-running").output.strip() in ("initializing", "starting")

    def boot_id(self) -> str:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
            return stream.read().strip()

    def boottime(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def _started(argv: Sequence[str], timeout: float, keep: int = process.OUTPUT_LIMIT) -> Done:
    with _refusing(argv[0]):
        return process.run(argv, timeout=timeout, keep=keep)


@contextmanager
def _refusing(program: str) -> Iterator[None]:
    """Raise Refused if a program of systemd cannot be started."""
    try:
        yield
    except FileNotFoundError:
        what, hint = f"{program} is not on this host", "shipit needs a host that runs systemd"
        raise Refused(Failure("no-systemd", what, "", hint)) from None
    except OSError as error:
        raise Refused(from_os_error(error, "")) from error


def _view(name: str, block: str, epoch: float) -> UnitView:
    raw = dict(line.partition("=")[::2] for line in block.splitlines())
    values: Dict[str, Any] = {ours: raw[key] for key, ours in PROPERTIES.items() if key in raw}
    values.update((ours, int(values.get(ours) or 0)) for ours in NUMBERS)
    values.update(
        need_reload=raw.get(RELOAD) == "yes", drop_ins=tuple(raw.get(DROP_INS, "").split())
    )
    view = UnitView(name, **values)
    entered = int(raw.get(SINCE) or 0) / MICROSECONDS
    return replace(view, since=epoch + entered) if entered and view.is_active else view

"""A machine for tests of the transaction: systemd, probes, clocks in memory, files on a real disk.

`faults` says what goes wrong at which call: a test lets every call of a simulation fail in turn. A
process that is killed leaves the machine as it was at that moment; after a power cut it boots.
"""

from __future__ import annotations

import errno
import shutil
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from shipit.agent.host.answer import Answer, Headers
from shipit.agent.host.host import QUICK, UnitView
from shipit.agent.protocol.manifest import lasting
from shipit.agent.protocol.messages import Failure
from shipit.agent.system import files
from shipit.agent.system.failures import Refused
from shipit.agent.system.process import Done, unheard, unwatched

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from shipit.agent.host.transient import Command
    from shipit.agent.system.ownership import Move
    from shipit.agent.system.paths import Paths
    from shipit.agent.system.sockets import Endpoint

GOOD = Done(0, "")


class Fault(Enum):
    """What happens at one call."""

    KILL_BEFORE = "kill before"
    KILL_AFTER = "kill after"
    CUT_BEFORE = "power cut before"
    CUT_AFTER = "power cut after"
    ERROR = "error"
    LATE_ERROR = "error after its effect"

    @property
    def is_before(self) -> bool:
        return self in (Fault.KILL_BEFORE, Fault.CUT_BEFORE)

    @property
    def is_kill(self) -> bool:
        return self in (Fault.KILL_BEFORE, Fault.KILL_AFTER)

    @property
    def is_error(self) -> bool:
        return self in (Fault.ERROR, Fault.LATE_ERROR)


_AT_A_CLOCK = (Fault.KILL_BEFORE, Fault.CUT_BEFORE)
_AT_A_LOOK = (*_AT_A_CLOCK, Fault.ERROR)
# Faults by the call's first word: what changes nothing is the same before and after it, and clocks
# never fail. `distinct` gives all of them for any other call.
_DISTINCT: Mapping[str, Sequence[Fault]] = {
    "now": _AT_A_CLOCK,
    "wall": _AT_A_CLOCK,
    "booting": _AT_A_CLOCK,
    "log": _AT_A_CLOCK,
    "show": _AT_A_LOOK,
    "GET": _AT_A_LOOK,
    "sleep": (*_AT_A_CLOCK, Fault.KILL_AFTER, Fault.CUT_AFTER),
}


def distinct(call: str) -> Sequence[Fault]:
    """Return the faults at a call that differ from each other; the rest repeat one of them."""
    word = call.partition(": ")[2].partition(" ")[0]
    return _DISTINCT.get(word, tuple(Fault))


class Killed(BaseException):
    """SIGKILL, as the killed process sees it."""


class PowerCut(BaseException):
    """The machine has lost its power."""


@dataclass
class Running:
    text: str
    invocation: str
    pid: int
    since: float
    restarts: int = 0
    active: str = "active"


@dataclass
class Machine:
    """Implements the port `Host`."""

    paths: Paths
    faults: dict[int, Fault] = field(default_factory=dict)
    jump: float = 0.0  # seconds by which the wall clock is changed,
    jump_at: int = 0  # after this call
    calls: list[str] = field(default_factory=list)
    sick: set[str] = field(default_factory=set)  # releases whose health check fails
    crashing: set[str] = field(default_factory=set)  # releases whose service ends at once
    loaded: dict[str, str] = field(default_factory=dict)  # what systemd has read
    running: dict[str, Running] = field(default_factory=dict)
    driver: list[str] = field(default_factory=list)  # command of the transient unit; [] without
    watches: bool = False  # the unit that watches the committed release is up
    needs: dict[str, int] = field(default_factory=dict)  # bytes, by unit
    logs: dict[str, str] = field(default_factory=dict)  # by unit
    answered: list[tuple[str, bool]] = field(default_factory=list)  # release; in its trial?
    idle: list[Callable[[], None]] = field(default_factory=list)  # done whenever time passes
    observers: list[Callable[[], None]] = field(default_factory=list)  # called before each call
    label: Callable[[], str] = str  # put before the names of calls
    clock: float = 1000.0
    boots: int = 1
    is_booting: bool = False
    starts: int = 0
    started: list[str] = field(default_factory=list)  # names of units
    owners: dict[str, tuple[int, int]] = field(default_factory=dict)  # of directories
    ran: list[str] = field(default_factory=list)  # commands of apps that came to their end
    ends: dict[str, int] = field(default_factory=dict)  # exit status of those with such a word
    balancer: dict[str, str] = field(default_factory=dict)  # state of this host, by haproxy
    is_deaf: bool = False  # haproxy does not answer
    does: dict[str, Callable[[], object]] = field(default_factory=dict)  # what these words do
    refuses: str = ""  # a setting that systemd does not take in a unit

    # --- faults ----------------------------------------------------------------------------------

    def _call(self, name: str, *, fallible: bool = True) -> Fault | None:
        """Count a call; raise the fault before it, or return the one that is due after it."""
        self.clock += 0.001
        for observe in self.observers:
            observe()
        fault = self.faults.get(len(self.calls))
        self.calls.append(f"{self.label()}: {name}")
        if fault and fault.is_before:
            raise Killed if fault.is_kill else PowerCut
        return None if fault and fault.is_error and not fallible else fault

    def _after(self, fault: Fault | None) -> None:
        if fault is Fault.KILL_AFTER:
            raise Killed
        if fault is Fault.CUT_AFTER:
            raise PowerCut

    def _command(self, name: str, effect: Callable[[], Done]) -> Done:
        fault = self._call(name)
        if fault is Fault.ERROR:
            return Done(1, f"{name}: no")
        done = effect()
        self._after(fault)
        return Done(1, f"{name}: no") if fault is Fault.LATE_ERROR else done

    def _disk(self, name: str, path: str, effect: Callable[[], None]) -> None:
        fault = self._call(name)
        full = OSError(errno.ENOSPC, "No space left on device", path)
        if fault is Fault.ERROR:
            raise full
        effect()
        self._after(fault)
        if fault is Fault.LATE_ERROR:
            raise full

    # --- systemd ---------------------------------------------------------------------------------

    def systemctl(self, verb: str, names: Sequence[str] = (), *, timeout: float = QUICK) -> Done:
        word = verb.partition(" ")[0].replace("-", "_")
        effect: Callable[[list[str]], Done] = getattr(self, f"_{word}")
        return self._command(f"{verb} {' '.join(names)}".strip(), lambda: effect(list(names)))

    def _start(self, names: list[str]) -> Done:
        results = [self._start_one(name) for name in names if name not in self.running]
        return GOOD if all(results) else Done(1, "Unit not found.")

    def _start_one(self, name: str) -> bool:
        if name not in self.loaded and not self._load(name):
            return False
        if name.startswith("shipit-watch@"):
            self.watches = True
            return True
        self.starts += 1
        self.started.append(name)
        started = Running(self.loaded[name], f"i{self.starts}", 100 + self.starts, self.wall_time)
        if name.endswith(".service") and self.release_in(started.text) in self.crashing:
            started.active, started.pid = "failed", 0
        self.running[name] = started
        return True

    def _restart(self, names: list[str]) -> Done:
        self._stop(names)
        return self._start(names)

    def _stop(self, names: list[str]) -> Done:
        for name in names:
            self.watches = self.watches and not name.startswith("shipit-watch@")
            self.running.pop(name, None)
        return GOOD

    def _reset_failed(self, names: list[str]) -> Done:
        for name in names:
            if name in self.running and self.running[name].active == "failed":
                del self.running[name]
        return GOOD

    def _enable(self, names: list[str]) -> Done:
        if not all(self._text(name) for name in names):
            return Done(1, "Unit file does not exist.")
        for name in names:
            if not self._wants(name).is_symlink():
                self._wants(name).parent.mkdir(exist_ok=True)
                self._wants(name).symlink_to(f"../{name}")
        return GOOD

    def _reenable(self, names: list[str]) -> Done:
        self._disable(names)
        return self._enable(names)

    def _disable(self, names: list[str]) -> Done:
        for name in names:
            self._wants(name).unlink(missing_ok=True)
        return GOOD

    def _daemon_reload(self, _names: list[str]) -> Done:
        folders = (self.paths.units, self.paths.runtime_units)
        there = [path for folder in folders for path in Path(folder).iterdir()]
        names = [path.name for path in there if path.is_file()]
        self.loaded = {name: text for name in names if (text := self._text(name))}
        for name, run in self.running.items():
            if lasting(name, run.text) == lasting(name, self.loaded.get(name, "")):
                run.text = self.loaded[name]  # a socket wakes another service from now on
        return GOOD

    def _load(self, name: str) -> bool:
        text = self._text(name)
        if text:
            self.loaded[name] = text
        return bool(text)

    def _text(self, name: str) -> str:
        folders = (self.paths.units, self.paths.runtime_units)
        return "".join(files.read_text(f"{folder}/{name}") for folder in folders)

    def _wants(self, name: str) -> Path:
        return Path(self.paths.units, "multi-user.target.wants", name)

    def show(self, names: Sequence[str]) -> dict[str, UnitView]:
        fault = self._call(f"show {' '.join(names)}")
        if fault and fault.is_error:
            raise Refused(Failure("systemd-mute", "systemctl show: no", ""))
        views = {name: self._view(name) for name in names}
        self._after(fault)
        return views

    def _view(self, name: str) -> UnitView:
        if name == self.paths.unit:
            return UnitView(name, active="active" if self.driver else "inactive")
        if name.startswith("shipit-watch@"):
            return UnitView(name, active="active" if self.watches else "inactive")
        text = self._text(name)
        enabled = self._wants(name).is_symlink()
        state = "" if not text else "enabled" if enabled else "disabled"
        load = "not-found" if not text else "loaded"
        load = "bad-setting" if self.refuses and self.refuses in text else load
        restart = "on-failure" if "Restart=on-failure" in text else "no"
        view = UnitView(name, load, file_state=state, restart=restart)
        stale = name in self.loaded and bool(text) and self.loaded[name] != text
        view = replace(view, need_reload=stale)
        run = self.running.get(name)
        if run is None:
            return view
        return replace(
            view,
            active=run.active,
            sub="running" if run.active == "active" else run.active,
            invocation=run.invocation,
            main_pid=run.pid,
            restarts=run.restarts,
            since=run.since if run.active == "active" else 0.0,
        )

    def start_driver(
        self, unit: str, argv: Sequence[str], *, after: Sequence[str] = (), wait: bool = True
    ) -> Done:
        def effect() -> Done:
            if self.driver:
                return Done(1, f"Unit {unit} already exists.")
            self.driver = list(argv)
            return GOOD

        return self._command("start driver", effect)

    def verify(self, unit_paths: Sequence[str], *, options: Sequence[str] = ()) -> Done:
        return GOOD

    # --- probes ----------------------------------------------------------------------------------

    def run(self, argv: Sequence[str], *, timeout: float) -> Done:
        return self._command(f"run {' '.join(argv)}", lambda: GOOD)

    def run_as(
        self,
        command: Command,
        *,
        timeout: float,
        watch: Callable[[], None] = unwatched,
        heard: Callable[[bytes], None] = unheard,
    ) -> Done:
        def effect() -> Done:
            said, words = f"{command.user} in {command.directory}", " ".join(command.argv)
            watch()
            heard(said.encode() + b"\n")
            self.ran.append(words)
            for word in command.argv:
                self.does.get(word, bool)()
            status = next((self.ends[word] for word in command.argv if word in self.ends), 0)
            return Done(status, f"{said}\n")

        return self._command(f"run {' '.join(command.argv)}", effect)

    def http(self, url: str, *, timeout: float, via: str = "", headers: Headers = None) -> Answer:
        fault = self._call(f"GET {url}")
        self._after(fault)
        if fault:
            return Answer(error="connection refused")
        serving = [r for name, r in self.running.items() if self._answers(name, via)]
        if not serving or serving[-1].active != "active":
            return Answer(error="connection refused")
        release = self.release_in(serving[-1].text)
        self.answered.append((release, bool(via)))
        return Answer(
            status=500 if release in self.sick else 200, body=f'{{"release": "{release}"}}'.encode()
        )

    def _answers(self, name: str, via: str) -> bool:
        """Whether a unit is behind the private listener, or else behind the shared one."""
        is_web = name.startswith("app-web") and name.endswith(".service")
        return is_web and ("@trial" in name) == bool(via)

    def accepts(self, at: Endpoint, unit: str) -> bool:
        self._after(self._call(f"accept probe of {unit}", fallible=False))
        return unit in self.running and self.running[unit].active == "active"

    def asked(self, to: str, line: str, *, timeout: float) -> str:
        """Answer as haproxy does, in which this host is `web/web1`."""
        fault = self._call(f"ask haproxy to {line.rpartition(' state ')[2]}")
        if self.is_deaf or fault is Fault.ERROR:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        answer = ""
        if line.startswith("set server web/web1 state "):
            self.balancer[to] = line.rpartition(" ")[2]
        else:
            state = self.balancer.get(to, "ready")
            status = {"ready": "UP", "drain": "DRAIN"}[state]
            answer = f"# pxname,svname,scur,status\nweb,web1,0,{status}\n"
        self._after(fault)
        if fault is Fault.LATE_ERROR:
            raise TimeoutError
        return answer + "\n"

    def memory(self, unit: str) -> int:
        return self.needs.get(unit, 0)

    def free_port(self, address: str) -> int:
        return 40000

    def tcp(self, address: str, port: int, *, timeout: float) -> Answer:
        return Answer()

    def unix(self, path: str, *, timeout: float) -> Answer:
        return Answer()

    def unit_log(self, unit: str, *, since: float, lines: int) -> str:
        self._after(self._call(f"log {unit}", fallible=False))
        return self.logs.get(unit, f"the log of {unit}")

    # --- paths -----------------------------------------------------------------------------------

    def install(self, path: str, text: str) -> None:
        file = Path(path)
        self._disk(f"install {file.name}", path, lambda: void(file.write_text(text)))

    def remove(self, path: str) -> None:
        file = Path(path)
        self._disk(f"remove {file.name}", path, lambda: file.unlink(missing_ok=True))

    def point(self, link: str, target: str) -> None:
        def effect() -> None:
            Path(link).unlink(missing_ok=True)
            Path(link).symlink_to(target)

        self._disk(f"point {Path(link).name} at {target}", link, effect)

    def owner(self, path: str) -> tuple[int, int] | None:
        return self.owners.get(path)

    def hand_over(self, move: Move, *, lenient: bool) -> None:
        def effect() -> None:
            givers = [(giver.uid, giver.gid) for giver in move.givers]
            if self.owners.get(move.path) in givers:
                self.owners[move.path] = (move.taker.uid, move.taker.gid)

        self._disk(f"hand over {move.path}", move.path, effect)

    def copy_tree(self, source: str, target: str, owner: int) -> None:
        def effect() -> None:
            if source != target:  # else it is the fake user's already
                shutil.copytree(source, target)

        self._disk(f"copy {Path(source).name}", target, effect)

    def link_tree(self, target: str, links: Mapping[str, str]) -> None:
        def effect() -> None:
            for name, path in links.items():
                Path(target, name).parent.mkdir(parents=True, exist_ok=True)
                Path(target, name).hardlink_to(path)

        self._disk(f"link {Path(target).name}", target, effect)

    # --- clocks ----------------------------------------------------------------------------------

    def booting(self) -> bool:
        self._after(self._call("booting", fallible=False))
        return self.is_booting

    def boot_id(self) -> str:
        return f"boot-{self.boots}"

    def boottime(self) -> float:
        return self.clock

    def now(self) -> float:
        self._after(self._call("now", fallible=False))
        return self.clock

    @property
    def wall_time(self) -> float:
        """Seconds since the epoch by the machine's clock."""
        jump = self.jump if len(self.calls) > self.jump_at else 0.0
        return 1_700_000_000.0 + self.clock + jump

    def wall(self) -> float:
        self._after(self._call("wall", fallible=False))
        return self.wall_time

    def sleep(self, seconds: float) -> None:
        fault = self._call("sleep", fallible=False)
        self.clock += seconds
        for act in self.idle:
            act()
        self._after(fault)

    # --- for tests -------------------------------------------------------------------------------

    def release_in(self, text: str) -> str:
        """Return the release that a unit's text belongs to."""
        _, found, rest = text.partition(f"{self.paths.releases}/")
        return rest.partition("/")[0] if found else ""

    def boot(self, settle: Callable[[], object]) -> None:
        """Boot from the state of the disk; `settle` is the boot unit's work."""
        self.boots += 1
        self.running, self.loaded, self.driver, self.watches = {}, {}, [], False
        self.is_booting = True
        for path in Path(self.paths.runtime_units).iterdir():
            path.unlink()
        wants = self._wants("")
        queued = sorted(link.name for link in wants.iterdir()) if wants.is_dir() else []
        self._daemon_reload([])
        settles = Path(self.paths.boot_link).is_symlink()
        try:
            if settles:
                settle()
            settles = False
        except (Killed, Refused):
            pass  # Restart=on-failure, but by then the units have not waited
        for name in queued:
            if not name.startswith("shipit-recover") and self._text(name):
                self._start_one(name)
        with suppress(Refused):  # the next session settles it
            if settles:
                settle()
        self.is_booting = False

    def running_releases(self) -> set[str]:
        """Return the releases that the long-running services were started from."""
        return {
            self.release_in(run.text)
            for name, run in self.running.items()
            if name.endswith(".service") and run.active == "active"
        }


def void(_result: object) -> None:
    """Return nothing."""

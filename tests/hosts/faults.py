"""Plays the cases of the fault matrix on a host, and proves what must hold after each.

    site = Site.on("web1", lab, folder, saboteur(folder))
    site.survives(Case((Fault("check", "before", "kill"),)))
    site.follows()

Everything but the faults is real: the controller, ssh, the venv, systemd. The faults are in the
agent that this copy of the package ships (see sabotage).
"""

from __future__ import annotations

import json
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import shipit
from hosts import sabotage
from hosts.fault_cases import CABLE, CONTROLLER, LEASE, POWER, Case, Fault
from hosts.workspace import PORT, Done, Workspace
from patience import PAUSE, until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hosts.warm import Command
    from shipit.lab.lab import Lab

TXN = "var/lib/shipit/txn/tinyapp.json"
LONG = 600.0  # seconds: a lease that does not end
SETTLING = 60.0  # seconds: the lease, a boot, going back with its gate
COMMAND = 600.0  # seconds; a driver that a disk lets do nothing is restarted for a while
PAGE = 5.0  # seconds
HELD = {"command": "/bin/false"}  # is no check of a trial, and keeps the gate after it
HEALTH: dict[str, Any] = {
    "checks": [{"http": f"http://127.0.0.1:{PORT}/healthz"}],
    "deadline": "60s",
    "min_healthy": "200ms",
    "interval": "50ms",
}
STAGING_IS_OPEN = ("receive", "build", "arm", "discard")  # the next Hello settles these
LAY = """
from . import sabotage
from .transaction.effects import table

sabotage.lay(table)
"""
LOOK = """
r=/opt/tinyapp; readlink $r/current; cat /etc/systemd/system/tinyapp-web*.service | grep -o 'releases/[^/]*' | sort -u
systemctl show -p ExecStart tinyapp-worker.service | grep -o 'releases/[^/]*' | sort -u
systemctl list-units --plain --no-legend 'tinyapp-*' | awk '{n[$3]++} END {for (s in n) print n[s], s}'
systemctl list-units --failed --plain --no-legend 'shipit-*'
ls /etc/systemd/system /run/systemd/system | grep -e shipit-recover -e @trial; true
"""  # noqa: E501 - shell

UNITS = "4 active"  # web's socket and service, the worker, the timer


def saboteur(folder: Path) -> Path:
    """Copy the package with an agent that injects faults; return the entry for PYTHONPATH."""
    package = Path(shipit.__file__).parent
    copy = folder / "src" / "shipit"
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(sabotage.__file__, copy / "agent" / "sabotage.py")
    with (copy / "agent" / "__main__.py").open("a") as main:
        main.write(LAY)
    (folder / "templates").symlink_to(package.parents[1] / "templates")
    return copy.parent


@dataclass
class Visitor:
    """Asks the service all the time, and records which releases answered."""

    address: str
    versions: set[str] = field(default_factory=set)

    def __enter__(self) -> Self:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._over.wait(0.1):
            with suppress(OSError, HTTPException, ValueError):
                self.versions.add(self._answered())

    def _answered(self) -> str:
        with closing(HTTPConnection(self.address, PORT, timeout=PAGE)) as connection:
            connection.request("GET", "/healthz")
            return str(json.load(connection.getresponse())["version"])


@dataclass
class Site:
    """One host that serves a release and gets deploys with faults."""

    workspace: Workspace
    host: str
    path: Path  # of the package that is run
    number: int = 0
    struck: int = 0  # of the faults of pairs

    @classmethod
    def on(cls, host: str, lab: Lab, folder: Path, path: Path) -> Self:
        """Deploy a first release there."""
        folder.mkdir()
        site = cls(Workspace.set(folder, lab, [host]), host, path)
        site.workspace.handover = "overlap"
        done = site._finished(site.begin(lease=LONG))
        assert done.status == 0, done.output
        return site

    @property
    def root(self) -> Path:
        return self.workspace.lab.hosts[self.host].root

    @property
    def version(self) -> str:
        """The newest that was built."""
        return f"1.0.{self.number}"

    def begin(self, lease: float = LEASE, **health: object) -> Command:
        """Start a deploy of a new version, with this instead of the usual gate's."""
        self.number += 1
        self.workspace.wheel(self.version)
        self.workspace.playbook(
            self.version,
            env={"GREETING": self.version},
            health={**HEALTH, **health},
            confirm_timeout=f"{lease:g}s",
            keep_releases=2,
        )
        return self.workspace.start("deploy", "--json", package=str(self.path))

    def restart_service(self) -> None:
        """Start the service once more, and wait until it answers."""
        self.workspace.sh(self.host, "systemctl restart 'tinyapp-web*.service'")
        self.serving()

    def kill_the_controller_in_the_gate(self) -> float:
        """Deploy a new version until it answers; returns the moment of the controller's death."""
        process = self.begin(checks=[*HEALTH["checks"], HELD], deadline="600s", interval="250ms")
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if (event["event"], event.get("step")) == ("step-began", "check"):
                break
        while (answer := self.workspace.serves(self.host)).get("version") != self.version:
            assert process.poll() is None, answer
        process.kill()
        death = time.monotonic()
        process.communicate()
        return death

    # --- faults ---------------------------------------------------------------------------------

    def survives(self, case: Case, attempts: int = 1) -> None:
        """Deploy under these faults, then prove that the invariants hold.

        That nothing blocks is shown by the deploy of the next case, as far as it gets: the fault
        must strike there; and by `follows`.
        """
        old = self.serving()
        self._plan([*case.way, *case.faults])
        with Visitor(self.workspace.lab.hosts[self.host].address) as visitor:
            ends = [self._ended(case.lease) for _ in range(attempts)]
        self._has_happened(case, ends[-1])
        self._plan([])
        assert visitor.versions, "the service answered nobody"
        known = {old, *(f"1.0.{n}" for n in range(self.number - attempts + 1, self.number + 1))}
        assert visitor.versions <= known, f"{visitor.versions} answered, of {known}"

    def follows(self) -> None:
        """Deploy once more: nothing may be in the way."""
        done = self._finished(self.begin(lease=LONG))
        assert done.status == 0, f"the next deploy is blocked: {done.output}"
        self.check(done, self.version)
        assert not (self.root / TXN).exists()

    def _ended(self, lease: float) -> Done:
        """Deploy the next version, let the host come to rest, and check what it came to."""
        old = self.serving()
        done = self._finished(self.begin(lease))
        self._settled()
        self.check(done, old)
        return done

    def _plan(self, faults: Sequence[Fault]) -> None:
        plan = self._there(sabotage.PLAN)
        plan.parent.mkdir(exist_ok=True)
        plan.write_text(json.dumps([asdict(fault) for fault in faults]))
        self._there(sabotage.IGNORED).unlink(missing_ok=True)

    def _has_happened(self, case: Case, done: Done) -> None:
        """Prove that a single fault struck, and of a pair at least one: else nothing was shown."""
        left = json.loads(self._there(sabotage.PLAN).read_text())
        for trace in map(self._there, (sabotage.MARK, sabotage.IGNORED)):
            asked = trace.read_text() if trace.exists() else ""
            assert not asked, f"nobody brought about what was asked for: {asked}"
        if len(case.faults) > 1:
            struck = len(case.way) + len(case.faults) - len(left)
            assert struck, f"it came to none of {case}"
            self.struck += struck
            return
        assert left == [], f"it never came to {left}"
        if case.faults[0].what == CONTROLLER:
            assert done.status == -signal.SIGKILL, f"the controller lived: {done.output}"

    def _there(self, path: Path) -> Path:
        """Return where a file of the host is seen from here."""
        return self.root / str(path).lstrip("/")

    def _finished(self, process: Command) -> Done:
        """Let the command end, and bring about what the agent asks for meanwhile."""
        output: list[str] = []
        reader = threading.Thread(target=lambda: output.extend(process.communicate()), daemon=True)
        reader.start()
        self._awaits(lambda: process.poll() is not None, "the command hangs", COMMAND, process)
        reader.join()
        return Done(process.wait(), *output)

    def _settled(self) -> None:
        """Wait until the host has come to rest by itself."""
        self._awaits(lambda: not self._is_open(), "it stays open", SETTLING)

    def _awaits(
        self,
        is_over: Callable[[], bool],
        wrong: str,
        seconds: float,
        controller: Command | None = None,
    ) -> None:
        """Wait for an end, and bring about what the agent asks for until then."""

        def obeyed_to_the_end() -> bool:
            if is_over():
                return True
            self._obey(controller)
            return False

        until(obeyed_to_the_end, lambda: f"{wrong}; {self.evidence()}", seconds)

    def _is_open(self) -> bool:
        """Whether a transaction is open that the host has to end alone, or has all but ended."""
        journal = self._journal()
        if journal and json.loads(journal)["state"] not in STAGING_IS_OPEN:
            return True
        return self._is_driven()  # without a journal, too: the boot unit goes last

    def _journal(self) -> str:
        try:
            return (self.root / TXN).read_text()
        except FileNotFoundError:
            return ""

    def _is_driven(self) -> bool:
        unit = self.workspace.sh(self.host, "systemctl is-active shipit-tinyapp.service || true")
        return unit in ("active", "activating")

    def _obey(self, controller: Command | None) -> str:
        """Cut the power or the cable, or kill the controller, when the agent has got there."""
        mark = self._there(sabotage.MARK)
        if not mark.exists():
            return ""
        what = mark.read_text()
        lab = self.workspace.lab
        if what == POWER:
            lab.power_cut(self.host)
        elif what == CONTROLLER and controller is not None:
            controller.kill()
            controller.wait()
        elif what == CABLE:
            lab.cut_cable(self.host)
            threading.Timer(LEASE + 1, lab.repair_cable, [self.host]).start()
        mark.unlink(missing_ok=True)
        if what == POWER:
            self._boot(controller)
        return what

    def _boot(self, controller: Command | None) -> None:
        """Switch the power on; what its recovery asks for meanwhile is brought about, too."""
        with ThreadPoolExecutor(1) as pool:
            booting = pool.submit(self.workspace.lab.boot, self.host)
            while not wait([booting], PAUSE).done:
                if self._obey(controller) == POWER:
                    return  # and is on again: how the boot before that ended does not matter
        booting.result()

    # --- from outside ---------------------------------------------------------------------------

    def serving(self) -> str:
        """Return the version that answers, with the environment of the same."""
        heard: list[dict[str, Any]] = []

        def answered() -> bool:
            heard.append(self.workspace.serves(self.host))
            return "version" in heard[-1]

        until(answered, lambda: f"nothing answers: {heard[-1]}; {self.evidence()}", SETTLING)
        answer = heard[-1]
        env = self.workspace.serves(self.host, "/env?key=GREETING")
        assert env == {"GREETING": answer["version"]}
        return str(answer["version"])

    def check(self, done: Done, old: str) -> None:
        """Invariants 1 and 4: one release, whole; success is said only of the new one."""
        serving = self.serving()
        assert serving in (old, self.version), f"{serving} is neither {old} nor {self.version}"
        seen = self.workspace.sh(self.host, LOOK).splitlines()
        release = seen[0].removeprefix("releases/")
        assert seen == [*[f"releases/{release}"] * 3, UNITS], f"{seen}; {self.evidence()}"
        manifest = json.loads(
            self.workspace.lab.read(self.host, f"/opt/tinyapp/{seen[0]}/manifest.json")
        )
        assert manifest["version"] == serving
        committed = [e for e in self._ledger() if e["outcome"] == "committed"]
        assert committed[-1]["release"] == release
        if done.status == 0:
            assert serving == self.version, done.output

    def _ledger(self) -> list[dict[str, Any]]:
        text = self.workspace.lab.read(self.host, "/opt/tinyapp/ledger.jsonl").decode()
        return [json.loads(line) for line in text.splitlines()]

    def evidence(self) -> str:
        """Return what a person would look at."""
        return self.workspace.sh(
            self.host,
            "cat /var/lib/shipit/txn/tinyapp.json; tail -n 4 /opt/tinyapp/ledger.jsonl;"
            "systemctl list-units --all --plain 'tinyapp*' 'shipit-*'; journalctl -n 40 --no-pager"
            " -u 'tinyapp*' -u 'shipit*'; true",
        )

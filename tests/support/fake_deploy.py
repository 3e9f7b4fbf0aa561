"""A deploy on a fake machine that always runs to its end, whatever fails meanwhile.

Simulates everything around the agent's transaction: the session that stages and launches, systemd
that restarts a dead driver, the boot, the controller that sends the verdict, the next Hello.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fake_machine import Killed, Machine, PowerCut
from shipit.agent.protocol.codec import to_json
from shipit.agent.protocol.manifest import OVERLAP, Artifact, Check, Gate, Manifest, Rendered, Unit
from shipit.agent.protocol.messages import Activate, Attempt, Failure, Settled
from shipit.agent.records import history, releases
from shipit.agent.records.redactor import Redactor
from shipit.agent.storage import prune
from shipit.agent.system import files
from shipit.agent.system.failures import Refused, from_os_error
from shipit.agent.system.paths import Paths
from shipit.agent.transaction import client, recovery, runner
from shipit.agent.transaction.effects.context import EffectContext
from shipit.agent.transaction.store import Store
from shipit.agent.watch import watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shipit.agent.protocol.assets import Assets
    from shipit.agent.protocol.balancers import LoadBalancer
    from shipit.agent.protocol.hooks import Hook
    from shipit.agent.protocol.manifest import Watch

LEASE = 6.0
RESTARTS = 6  # of the watch, by its unit
LIMIT = 60  # processes in one simulation; more of them are an endless loop
TOOL = Artifact("uv", "1", "uv-1-py3-none-any.whl", "a" * 64, 1)
SOCKET = "[Socket]\nListenStream={port}\nService={wakes}\n[Install]\nWantedBy=sockets.target\n"
SERVICE = "[Service]\nExecStart={top}/venv/bin/{name}\n[Install]\nWantedBy=multi-user.target\n"


TRIAL = "app-web@trial.service"
PACKAGES = "lib/python3.11/site-packages"
RECORD = "uv-1.dist-info/RECORD"  # of the only wheel


def units(*, worker: bool, overlaps: str) -> tuple[Unit, ...]:
    """Return an app's units; `overlaps` is the release whose web has a separate unit."""
    found = [
        Unit("app-web.socket", "web", start=True, watched=False, stop_timeout=1.0),
        Unit("app-web.service", "web", start=True, watched=True, stop_timeout=1.0),
    ]
    if overlaps:
        name = f"app-web@{overlaps}.service"
        found[1] = replace(found[1], name=name, handover=OVERLAP, trial=TRIAL)
    if worker:
        found.append(
            Unit("app-worker.service", "worker", start=True, watched=True, stop_timeout=1.0)
        )
    return tuple(found)


def manifest(  # noqa: PLR0913 - what scenarios differ in
    paths: Paths,
    release: str,
    *,
    worker: bool = False,
    overlaps: bool = False,
    keep: int = 5,
    bake: float = 0.0,
    hooks: tuple[Hook, ...] = (),
    balancer: LoadBalancer | None = None,
    assets: Assets | None = None,
    watch: Watch | None = None,
) -> Manifest:
    return Manifest(
        id=release, app=paths.app, version=release, root=paths.root, user="root",
        interpreter=sys.executable, installer="uv", installer_wheel=TOOL,
        app_wheel=replace(TOOL, sha256=release.ljust(64, "0")),
        units=units(worker=worker, overlaps=release if overlaps else ""),
        wheels=(), requirements="", bundle="", texts=(), env=(),
        gate=Gate((Check.of("http", "http://127.0.0.1:8000/healthz"),), 0.25, 5.0, 0.5, bake),
        smoke=(), keep_releases=keep, created="", created_by="", hooks=hooks, balancer=balancer,
        assets=assets,
        watch=watch,
    )  # fmt: skip


def put(
    paths: Paths, wanted: Manifest, texts: Mapping[str, str] | None = None, *, port: int = 8000
) -> None:
    """Write a release's directory, as staging does.

    `texts` are those of its units, by default of a web service on this port.
    """
    release = paths.release(wanted.id)
    texts = unit_texts(paths, wanted, port) if texts is None else texts
    for directory in (release.units, release.trial, release.files, release.env):
        files.make_directory(directory)
    put_venv(release.venv)
    if wanted.assets:
        files.make_directory(release.text(wanted.assets.folder))
        for name in (f"app.{wanted.id}.js", "site.css"):
            Path(release.text(wanted.assets.folder), name).write_text(wanted.id)
    for name, text in texts.items():
        files.write(release.text(name), text.encode())
    rendered = (Rendered(name, 0o644, releases.digest(text)) for name, text in texts.items())
    whole = replace(wanted, texts=tuple(rendered))
    files.write(release.manifest, json.dumps(to_json(whole)).encode())


def unit_texts(paths: Paths, wanted: Manifest, port: int) -> dict[str, str]:
    """Return the texts of a release's units, by their path in the release."""
    release, texts = paths.release(wanted.id), {}
    for unit in wanted.units:
        text = SOCKET if unit.name.endswith(".socket") else SERVICE
        wakes = next(u.name for u in wanted.units if u.service == unit.service and u.watched)
        content = text.format(port=port, top=release.top, name=unit.service, wakes=wakes)
        texts[f"units/{unit.name}"] = content
        if unit.trial:
            texts[f"trial/{unit.trial}"] = content
    return texts


def put_venv(venv: str) -> None:
    """Write the files that are checked before another switch to a release."""
    python, record = Path(venv, "bin/python"), Path(venv, f"{PACKAGES}/{RECORD}")
    for path in (python, record):
        path.parent.mkdir(parents=True, exist_ok=True)
    record.touch()
    if not python.is_symlink():
        python.symlink_to(sys.executable)
    Path(venv, "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.11.2\n")


@dataclass(frozen=True)
class FakeStaging:
    """Staging without blobs and without a venv."""

    put: Callable[[], None]
    emit: Callable[[Any], None] = lambda _: None

    def receive(self) -> None:
        """Have received everything before."""

    def build(self) -> None:
        self.put()


@dataclass
class Simulation:
    """One machine, and the commands that are run against it."""

    paths: Paths
    machine: Machine
    verdict: str = "commit"  # the controller's after Healthy; "" for never
    lease: float = LEASE
    txns: int = 0
    processes: int = 0
    is_elected: bool = False
    options: tuple[str, ...] = ()  # of the operator
    heard: list[object] = field(default_factory=list)

    @classmethod
    def at(cls, directory: Path) -> Simulation:
        for name in ("opt", "units", "run", "var/txn", "timers"):
            (directory / name).mkdir(parents=True)
        places = ("opt/app", "var", "units", "run", "timers")
        paths = Paths("app", *(str(directory / name) for name in places))
        simulation = cls(paths, Machine(paths))
        simulation.machine.idle.append(simulation.controller)
        return simulation

    @property
    def store(self) -> Store:
        return Store(self.paths, self.machine)

    def controller(self) -> None:
        """Send the verdict once a release is healthy."""
        # Not journal.load: this runs at every pause, thousands of times in a test.
        open_ = files.read_json(self.paths.journal) if self.verdict else None
        if open_ and open_["healthy"]:
            client.settle(self.store, open_["txn"], self.verdict)

    # --- actions ---------------------------------------------------------------------------------

    def deploy(
        self, wanted: Manifest, *, port: int = 8000, texts: Mapping[str, str] | None = None
    ) -> None:
        """Stage and launch a release (see `put`), and run until nothing is open."""
        self._lives(lambda: self._staged(wanted, port, texts))
        self._rest()

    def rollback(self, release: str) -> None:
        self._lives(lambda: self._launched(self._attempt("rollback"), release))
        self._rest()

    def watch(self) -> None:
        """Let the host's watch look until it ends; systemd starts it again when it is killed."""
        for _ in range(RESTARTS):
            if not self.machine.watches:
                break
            self._lives(self._watched)
        self._rest()

    def _watched(self) -> None:
        try:
            watcher.run(self.store)
        except (Killed, Refused, OSError):
            return
        self.machine.watches = False

    def _attempt(self, what: str) -> Attempt:
        self.txns += 1
        about = (f"t{self.txns}", what, "dev@laptop", 1, "2026-01-01T00:00:00Z")
        return Attempt(*about, elected=self.is_elected, options=self.options)

    def _staged(self, wanted: Manifest, port: int, texts: Mapping[str, str] | None = None) -> None:
        recovery.recover(self.store)
        attempt = self._attempt("deploy")
        fresh = releases.manifest(self.paths, wanted.id) is None
        with self.store.session(attempt):
            opened = client.begin(self.store, attempt, wanted.id, fresh=fresh)
            staging = FakeStaging(lambda: put(self.paths, wanted, texts, port=port))
            context = EffectContext(self.store, lambda _: None, Redactor(self.paths), staging)
            failure = runner.stage(context, opened)  # not the client's: a killed one does nothing
            if failure:
                client.discard(self.store, attempt.txn, failure)
            else:
                self._launched(attempt, wanted.id)

    def _launched(self, attempt: Attempt, release: str) -> None:
        ask = Activate(attempt, release, self.lease)
        try:
            client.launch(self.store, ask, agent_zip="a.pyz", python="python3")
        except (Refused, OSError) as error:
            failure = error.failure if isinstance(error, Refused) else from_os_error(error, "arm")
            client.discard(self.store, attempt.txn, failure)

    def hello(self) -> str:
        """Let the next session settle what is open."""
        said: list[str] = []
        self._lives(lambda: said.append(recovery.recover(self.store)))
        return "".join(said)

    def _rest(self) -> None:
        """Run systemd and the next Hello until nothing is open any more."""
        while self.processes < LIMIT:
            if self.machine.driver:
                self._lives(self._driven)
            elif self._is_open():
                self.hello()
            else:
                return
        raise AssertionError(f"no end: {self.store.load()}")

    def _driven(self) -> None:
        try:
            status = runner.transact(self.store)
        except Killed:
            return  # systemd restarts it
        if status == 0:
            self.machine.driver = []

    def _is_open(self) -> bool:
        open_ = self.store.load()
        return open_ is not None and not open_.state.is_end

    def _lives(self, act: Callable[[], object]) -> None:
        """Run a process; each power cut is followed by a boot."""
        self.processes += 1
        try:
            act()
        except Killed:
            return
        except (Refused, OSError):
            return  # reported to the controller
        except PowerCut:
            self._lives(self._boot)

    def _boot(self) -> None:
        self.machine.boot(lambda: recovery.recover_at_boot(self.store))

    # --- observations ----------------------------------------------------------------------------

    @property
    def state(self) -> str:
        open_ = self.store.load()
        return open_.state.value if open_ else "closed"

    @property
    def head(self) -> str:
        top = history.head(history.entries(self.paths))
        return top.release if top else ""

    @property
    def outcomes(self) -> list[str]:
        return [entry.outcome for entry in history.entries(self.paths)]

    def settled(self) -> Settled | None:
        last = [m for m in client.follow(self.store) if isinstance(m, Settled)]
        return last[-1] if last else None

    def failure(self) -> Failure:
        settled = self.settled()
        assert settled is not None
        assert settled.failure is not None
        return settled.failure

    def assert_serves(self, release: str) -> None:
        """Invariant 1: code, units and processes belong to one release; "" for a clean host."""
        paths, machine = self.paths, self.machine
        installed = sorted(path.name for path in Path(paths.units).glob("app-*"))
        assert list(Path(paths.runtime_units).iterdir()) == []  # nothing is left of a trial
        if not release:
            assert (installed, releases.pointed(paths), machine.running) == ([], "", {})
            assert not Path(paths.current).is_symlink()
            return
        wanted = releases.manifest(paths, release)
        assert wanted is not None
        assert releases.is_pointed_at(paths, wanted)
        assert releases.installed_texts(paths, installed) == releases.unit_texts(paths, wanted)
        texts = {name: run.text for name, run in machine.running.items() if run.active == "active"}
        assert texts == releases.unit_texts(paths, wanted)

    def assert_nothing_is_left(self) -> None:
        """Invariant 3: nothing is open, armed or incomplete."""
        paths = self.paths
        assert self.store.load() is None
        assert not Path(paths.boot_unit).exists()
        assert not Path(paths.boot_link).is_symlink()
        assert not Path(paths.lease).exists()
        assert self.store.verdict(f"t{self.txns}") == ""
        assert self.store.holder() is None
        assert prune.kept(history.entries(paths), self.head, 9, []) >= set(
            releases.listed(paths)
        ) - {""}

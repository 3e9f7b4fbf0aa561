"""Good deploys, broken ones and rollbacks in turn, of a service under load.

deployed = DeployedApp.set(folder, lab, "web1", UVICORN, handover="restart")
with deployed.clients(Demand(rate=100)) as load:
    for step in steps(4, UVICORN.faults):
        deployed.run_step(step)
load.result
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, Self

import wheelhouse
from hosts.load import Load
from hosts.workspace import PORT, Done, Workspace
from load import wheels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from hosts.load import Demand
    from shipit.lab.lab import Lab

GOOD, BROKEN, ROLLBACK = "good deploy", "broken release", "rollback"
# A broken release may be detected before or after the switch: 3 or 4.
ENDS = {GOOD: (0,), BROKEN: (3, 4), ROLLBACK: (0,)}
STARTUP = 1.0  # seconds that the service takes at least
TIME_TO_BE_WELL, TIME_TO_BE_FOUND_OUT = "60s", "3s"


@dataclass(frozen=True)
class App:
    """The app to deploy."""

    name: str
    runs: Mapping[str, str]  # the key of a service that says what: `serve` or `command`
    build: Callable[[Path, str, str], Path]  # into a folder, of a version, with a fault
    faults: tuple[str, ...]  # answers its health check with 500, starts too late, exits at once
    websocket: str = ""
    needs_index: bool = True


TINYAPP = App(
    "tinyapp",
    {"command": "tinyapp"},
    wheelhouse.tinyapp_wheel,
    ("healthz", "slow:3600", "start"),
    needs_index=False,
)
LOADAPP_FAULTS = ("healthz", "slow", "start")
UVICORN = App(
    "loadapp",
    {"serve": "uvicorn loadapp:asgi --no-access-log"},
    wheels.loadapp_wheel,
    LOADAPP_FAULTS,
    websocket="/ws",
)
GUNICORN = App(
    "loadapp",
    {"serve": "gunicorn loadapp:wsgi --workers 2 --threads 8"},
    wheels.loadapp_wheel,
    LOADAPP_FAULTS,
)


@dataclass(frozen=True)
class Step:
    kind: str
    fault: str = ""

    def __str__(self) -> str:
        return f"{self.kind} ({self.fault})" if self.fault else self.kind


def steps(number: int, faults: Sequence[str]) -> Iterable[Step]:
    """Return steps in turn; each broken release has another fault than the one before."""
    rounds = (
        step
        for fault in cycle(faults)
        for step in (Step(GOOD), Step(BROKEN, fault), Step(GOOD), Step(ROLLBACK))
    )
    return islice(rounds, number)


class UnexpectedEnd(Exception):
    """A step did not end as expected."""


@dataclass(frozen=True)
class StepTime:
    step: Step
    began: float  # seconds since the epoch
    ended: float


@dataclass
class DeployedApp:
    """An app that is deployed to one host."""

    workspace: Workspace
    host: str
    app: App
    handover: str
    number: int = 0  # of versions so far
    runs: str = ""
    previous: str = ""
    broken: set[str] = field(default_factory=set)
    times: list[StepTime] = field(default_factory=list)

    @classmethod
    def set(
        cls,
        folder: Path,
        lab: Lab,
        host: str,
        app: App,
        handover: str,
        *,
        python: str = wheels.USUAL,
    ) -> Self:
        """Deploy a first release; `python` is the host's."""
        workspace = Workspace.set(folder, lab, [host])
        if app.needs_index:
            wheels.provide(workspace.wheels, python)
            shutil.copy(wheels.LOCK, folder / "requirements.lock")
        deployed = cls(workspace, host, app, handover)
        deployed.run_step(Step(GOOD))
        deployed.times.clear()
        return deployed

    def clients(self, demand: Demand) -> Load:
        return Load(f"http://{self.workspace.lab.hosts[self.host].address}:{PORT}/", demand)

    def run_step(self, step: Step) -> None:
        """Run the step with the command line; raise UnexpectedEnd."""
        began = time.time()
        done = self.workspace.shipit("rollback") if step.kind == ROLLBACK else self._deploy(step)
        self.times.append(StepTime(step, began, time.time()))
        if done.status not in ENDS[step.kind]:
            raise UnexpectedEnd(
                f"{step}: exit status {done.status}, not {ENDS[step.kind]}\n{done.output}"
            )
        if step.kind == ROLLBACK:
            self.runs, self.previous = self.previous, ""
        elif step.kind == GOOD:
            self.runs, self.previous = self._newest, self.runs
        answer = self.workspace.serves(self.host, "/")
        if answer.get("version") != self.runs:
            raise UnexpectedEnd(
                f"{step}: expected {self.runs} to answer, got {answer}\n{done.output}"
            )

    @property
    def _newest(self) -> str:
        return f"1.0.{self.number}"

    def _deploy(self, step: Step) -> Done:
        self.number += 1
        if step.fault:
            self.broken.add(self._newest)
        self.app.build(self.workspace.folder, self._newest, step.fault)
        self.workspace.playbook(self._newest, **self._playbook(step))
        return self.workspace.shipit("deploy")

    def _playbook(self, step: Step) -> dict[str, Any]:
        checks = [
            {
                "http": f"http://127.0.0.1:{PORT}/healthz",
                "json": {"version": "{{ release.version }}"},
            }
        ]
        deadline = TIME_TO_BE_FOUND_OUT if step.fault else TIME_TO_BE_WELL
        web = {**self.app.runs, "socket": PORT, "handover": self.handover}
        return {
            "app": self.app.name,
            "wheel": f"{self.app.name}-{self._newest}-py3-none-any.whl",
            "env": {"LOADAPP_STARTUP": f"{STARTUP:g}"},
            "services": {"web": {**web, "stop_timeout": "30s"}},
            "smoke": None,
            "health": {
                "checks": checks,
                "deadline": deadline,
                "min_healthy": "300ms",
                "interval": "50ms",
            },
            "keep_releases": 3,
        }

    def step_at(self, moment: float) -> str:
        """Return the step during or after which a moment was."""
        begun = [(i, each) for i, each in enumerate(self.times, 1) if each.began <= moment]
        if not begun:
            return "before the first step"
        number, last = begun[-1]
        where = f"step {number}, {last.step}"
        return where if moment <= last.ended else f"after {where}"

"""Deploys in turn, good ones, broken ones and rollbacks, of a service that has customers meanwhile.

stage = Stage.set(folder, lab, "web1", UVICORN, handover="restart")
with stage.customers(Demand(rate=100)) as load:
    for act in acts(4):
        stage.play(act)
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
from hosts.scene import PORT, Done, Scene
from load import wheels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from hosts.load import Demand
    from shipit.lab.lab import Lab

GOOD, BROKEN, ROLLBACK = "good deploy", "broken release", "rollback"
# A broken release may be found out before or after the switch: 3 or 4.
ENDS = {GOOD: (0,), BROKEN: (3, 4), ROLLBACK: (0,)}
STARTUP = 1.0  # seconds that the service takes at least
TIME_TO_BE_WELL, TIME_TO_BE_FOUND_OUT = "60s", "3s"


@dataclass(frozen=True)
class App:
    """What is deployed."""

    name: str
    command: str
    build: Callable[[Path, str, str], Path]  # into a folder, of a version, with a fault
    faults: tuple[str, ...]  # answers its health check with 500, starts too late, exits at once
    websocket: str = ""
    needs_index: bool = True


TINYAPP = App(
    "tinyapp",
    "tinyapp",
    wheelhouse.tinyapp_wheel,
    ("healthz", "slow:3600", "start"),
    needs_index=False,
)
LOADAPP_FAULTS = ("healthz", "slow", "start")
UVICORN = App(
    "loadapp",
    "uvicorn loadapp:asgi --fd 3 --no-access-log --http loadpatience:Patient"
    " --timeout-graceful-shutdown 25",
    wheels.loadapp_wheel,
    LOADAPP_FAULTS,
    websocket="/ws",
)
GUNICORN = App(
    "loadapp",
    # No --bind: it takes systemd's socket by itself, and fails if it is told of it as well.
    "gunicorn loadapp:wsgi --workers 2 --threads 8 --graceful-timeout 25 --no-control-socket",
    wheels.loadapp_wheel,
    LOADAPP_FAULTS,
)


@dataclass(frozen=True)
class Act:
    kind: str
    fault: str = ""

    def __str__(self) -> str:
        return f"{self.kind} ({self.fault})" if self.fault else self.kind


def acts(number: int, faults: Sequence[str]) -> Iterable[Act]:
    """Return acts in turn, each broken release broken in another way than the one before."""
    rounds = (
        act
        for fault in cycle(faults)
        for act in (Act(GOOD), Act(BROKEN, fault), Act(GOOD), Act(ROLLBACK))
    )
    return islice(rounds, number)


class NotAsTold(Exception):
    """An act did not end as it should."""


@dataclass(frozen=True)
class Played:
    act: Act
    began: float  # seconds since the epoch
    ended: float


@dataclass
class Stage:
    """One host that serves a release of an app, and is deployed to."""

    scene: Scene
    host: str
    app: App
    handover: str
    number: int = 0  # of versions so far
    runs: str = ""
    ran_before: str = ""
    broken: set[str] = field(default_factory=set)
    played: list[Played] = field(default_factory=list)

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
        scene = Scene.set(folder, lab, [host])
        if app.needs_index:
            wheels.provide(scene.wheels, python)
            shutil.copy(wheels.LOCK, folder / "requirements.lock")
        stage = cls(scene, host, app, handover)
        stage.play(Act(GOOD))
        stage.played.clear()
        return stage

    def customers(self, demand: Demand) -> Load:
        return Load(f"http://{self.scene.lab.hosts[self.host].address}:{PORT}/", demand)

    def play(self, act: Act) -> None:
        """Do it as a person does; raises NotAsTold."""
        began = time.time()
        done = self.scene.shipit("rollback") if act.kind == ROLLBACK else self._deploy(act)
        self.played.append(Played(act, began, time.time()))
        if done.status not in ENDS[act.kind]:
            raise NotAsTold(f"{act}: exit status {done.status}, not {ENDS[act.kind]}\n{done.said}")
        if act.kind == ROLLBACK:
            self.runs, self.ran_before = self.ran_before, ""
        elif act.kind == GOOD:
            self.runs, self.ran_before = self._newest, self.runs
        answer = self.scene.serves(self.host, "/")
        if answer.get("version") != self.runs:
            raise NotAsTold(f"{act}: expected {self.runs} to answer, got {answer}\n{done.said}")

    @property
    def _newest(self) -> str:
        return f"1.0.{self.number}"

    def _deploy(self, act: Act) -> Done:
        self.number += 1
        if act.fault:
            self.broken.add(self._newest)
        self.app.build(self.scene.folder, self._newest, act.fault)
        self.scene.playbook(self._newest, **self._playbook(act))
        return self.scene.shipit("deploy")

    def _playbook(self, act: Act) -> dict[str, Any]:
        checks = [
            {
                "http": f"http://127.0.0.1:{PORT}/healthz",
                "json": {"version": "{{ release.version }}"},
            }
        ]
        deadline = TIME_TO_BE_FOUND_OUT if act.fault else TIME_TO_BE_WELL
        web = {"command": self.app.command, "socket": PORT, "handover": self.handover}
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

    def act_at(self, moment: float) -> str:
        """Say during which act that was, or after which."""
        begun = [(i, each) for i, each in enumerate(self.played, 1) if each.began <= moment]
        if not begun:
            return "before the first act"
        number, last = begun[-1]
        where = f"act {number}, {last.act}"
        return where if moment <= last.ended else f"after {where}"

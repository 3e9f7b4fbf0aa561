"""From any playbook to any other: what runs afterwards is what the second one wants, and no more.

The model is simple. Of a release there run exactly the units that it starts, from its own texts,
and exactly these are enabled. A job that is just at work may finish, if it stays a job. A
transaction that is rolled back restores exactly the previous state.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fake_deploy import Simulation, manifest
from fake_machine import GOOD, Fault, Machine, Running, distinct
from playbook_pairs import BOOKS, ROOT, Book

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shipit.agent.host.host import UnitView
    from shipit.agent.protocol.manifest import Manifest
    from shipit.agent.system.process import Done
    from shipit.render.units import ReleaseTexts

FAULTS = (Fault.KILL_AFTER, Fault.CUT_AFTER, Fault.ERROR)
OLD, NEW = "r1", "r2"
AT_WORK = "activating"  # a oneshot service, until its process ends
MEMORY = Path("/dev/shm")


@dataclass
class Systemd(Machine):
    """A machine on which units depend on each other, jobs run, and a port has one owner."""

    refused: list[str] = field(default_factory=list)

    def _start_one(self, name: str) -> bool:
        text = self.loaded.get(name) or self._text(name)
        needed: list[str] = re.findall(r"^Requires=(.*)$", text, re.MULTILINE)
        ready = all(each in self.running or self._start_one(each) for each in needed)
        if not ready or (name.endswith(".socket") and not self._may_listen(name, text)):
            self.refused.append(name)
            return False
        started = super()._start_one(name)
        if started and "Type=oneshot" in text:
            self.running[name].active = AT_WORK
        if started and name.endswith(".service") and self._taken(name, _own_port(text)):
            self.running[name].active, self.running[name].pid = "failed", 0
        return started

    def _may_listen(self, name: str, text: str) -> bool:
        """As socket_start() of systemd, and as bind()."""
        (service,) = re.findall(r"^Service=(.*)$", text, re.MULTILINE)
        return service not in self.running and not self._taken(name, _listens(text))

    def _taken(self, name: str, port: str) -> bool:
        others = (run.text for other, run in self.running.items() if other != name)
        return bool(port) and port in {
            p for text in others for p in (_own_port(text), _listens(text))
        }

    def _stop(self, names: list[str]) -> Done:
        for name in names:
            super()._stop([name])
            held = [n for n, run in self.running.items() if f"Requires={name}\n" in run.text]
            super()._stop(held)
        return GOOD

    def _enable(self, names: list[str]) -> Done:
        return super()._enable([name for name in names if "[Install]" in self._text(name)])

    def _view(self, name: str) -> UnitView:
        view = super()._view(name)
        is_static = view.file_state == "disabled" and "[Install]" not in self._text(name)
        return replace(view, file_state="static") if is_static else view

    def wanted_at_boot(self) -> set[str]:
        return {link.name for link in self._wants("").parent.glob("*.wants/app-*")}


def _own_port(text: str) -> str:
    return "".join(re.findall(r"--port (\d+)", text))


def _listens(text: str) -> str:
    return "".join(re.findall(r"^ListenStream=(.*)$", text, re.MULTILINE))


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[Book, str], ReleaseTexts]:
    folder = tmp_path_factory.mktemp("rendered")
    return {(book, name): book.rendered(folder, name) for book in BOOKS for name in (OLD, NEW)}


@pytest.fixture
def scratch() -> Iterator[Path]:
    folder = tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None)
    yield Path(folder)
    shutil.rmtree(folder)


def deploy(simulation: Simulation, release: str, of: ReleaseTexts) -> Manifest:
    plain = manifest(simulation.paths, release)
    quick = replace(plain.gate, checks=(), min_healthy=0.1)
    wanted = replace(plain, units=of.units, gate=quick)
    texts = {name: text.replace(ROOT, simulation.paths.root) for name, text in of.texts.items()}
    simulation.deploy(wanted, texts=texts)
    return wanted


def put_to_work(machine: Machine, wanted: Manifest) -> set[str]:
    """Let the timers start their jobs, and return the jobs' units."""
    jobs = {unit.name for unit in wanted.units if not unit.start}
    for name in jobs:
        machine.running[name] = Running(machine.loaded[name], "job", 7, 0.0, active=AT_WORK)
    return jobs


def wrong(simulation: Simulation, release: str, of: ReleaseTexts, at_work: set[str]) -> list[str]:
    """Return what is not as the release wants it; these jobs are still at work."""
    machine = simulation.machine
    assert isinstance(machine, Systemd)
    texts = {unit.name: of.texts[f"units/{unit.name}"] for unit in of.units}
    texts = {name: text.replace(ROOT, simulation.paths.root) for name, text in texts.items()}
    started = {unit.name for unit in of.units if unit.start}
    up = {name: run.text for name, run in machine.running.items() if name not in at_work}
    installed = {path.name: path.read_text() for path in Path(simulation.paths.units).glob("app-*")}
    checks = {
        "runs": (up, {name: texts[name] for name in started}),
        "is active": ({machine.running[name].active for name in up}, {"active"}),
        "is enabled": (machine.wanted_at_boot(), started),
        "is installed": (installed, texts),
        "is at work": (at_work - machine.running.keys(), set()),
        "is committed": (simulation.head, release),
    }
    found = [f"{what}: {_differing(*pair)}" for what, pair in checks.items() if pair[0] != pair[1]]
    return [f"{simulation.outcomes} {found} {simulation.settled()}"] if found else []


def _differing(got: object, wanted: object) -> str:
    if isinstance(got, dict) and isinstance(wanted, dict):
        changed = {n for n in got.keys() & wanted.keys() if got[n] != wanted[n]}
        return f"{sorted(got)}, not {sorted(wanted)}; of another text: {sorted(changed)}"
    return f"{got}, not {wanted}"


@dataclass(frozen=True)
class Begun:
    """A host that runs the first of two playbooks: it can be put back to that."""

    simulation: Simulation
    home: Path
    disk: Path
    jobs: set[str]  # at work

    @classmethod
    def with_(cls, scratch: Path, of: ReleaseTexts) -> Begun:
        home, disk = scratch / "home", scratch / "disk"
        simulation = Simulation.at(home)
        simulation.machine = Systemd(simulation.paths, idle=[simulation.controller])
        jobs = put_to_work(simulation.machine, deploy(simulation, OLD, of))
        assert simulation.head == OLD
        return cls(simulation, home, shutil.copytree(home, disk, symlinks=True), jobs)

    def again(self) -> Simulation:
        shutil.rmtree(self.home)
        shutil.copytree(self.disk, self.home, symlinks=True)
        return deepcopy(self.simulation)


@pytest.mark.parametrize("first", [book for book in BOOKS if book.name != "api"], ids=str)
@pytest.mark.parametrize("verdict", ["commit", "revert"])
def test_exactly_one_playbook_is_left(
    releases: dict[tuple[Book, str], ReleaseTexts], scratch: Path, first: Book, verdict: str
) -> None:
    begun = Begun.with_(scratch, releases[first, OLD])
    found = {}
    for second in BOOKS:
        simulation = begun.again()
        simulation.verdict = verdict
        new = deploy(simulation, NEW, releases[second, NEW])
        end, book = (NEW, second) if verdict == "commit" else (OLD, first)
        still = begun.jobs & {unit.name for unit in new.units if not unit.start}
        if seen := wrong(simulation, end, releases[book, end], still):
            found[str(second)] = seen
    assert not found, "\n".join(f"{book}: {seen}" for book, seen in found.items())


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("restart 1", "job"),
        ("job", "restart 1"),
        ("job", "another job"),
        ("own port", "socket overlap 2"),
    ],
)
def test_exactly_one_playbook_is_left_whatever_fails(
    releases: dict[tuple[Book, str], ReleaseTexts], scratch: Path, first: str, second: str
) -> None:
    before, after = releases[Book("web", first), OLD], releases[Book("web", second), NEW]
    begun = Begun.with_(scratch, before)
    whole = begun.again()
    deploy(whole, NEW, after)
    calls, found = len(whole.machine.calls), {}
    for at, fault in product(range(len(begun.simulation.machine.calls), calls), FAULTS):
        if fault not in distinct(whole.machine.calls[at]):
            continue
        simulation = begun.again()
        simulation.machine.faults = {at: fault}
        deploy(simulation, NEW, after)
        simulation.machine.faults = {}
        of = after if simulation.head == NEW else before
        jobs = begun.jobs - {unit.name for unit in of.units if unit.start}
        at_work = jobs & simulation.machine.running.keys()
        if seen := wrong(simulation, simulation.head, of, at_work):
            found[f"{fault} {whole.machine.calls[at]}"] = seen
    assert not found, "\n".join(f"{fault}: {seen}" for fault, seen in found.items())

"""How long a switch may take, on the fake machine. What is switched: test_agent_units."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fake_deploy import Simulation, manifest
from fake_machine import GOOD, Machine
from shipit.agent.activation import switch
from shipit.agent.host.host import QUICK
from shipit.agent.records import history

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from shipit.agent.protocol.manifest import Manifest
    from shipit.agent.system.process import Done
    from shipit.agent.system.sockets import Endpoint

LONG = 300.0  # seconds that a worker may take for its last job


@dataclass
class Timed(Machine):
    """Remembers how long each unit's stop was allowed to take; some units never serve."""

    stops: dict[str, float] = field(default_factory=dict)  # seconds, by unit
    mute: set[str] = field(default_factory=set)

    def systemctl(self, verb: str, names: Sequence[str] = (), *, timeout: float = QUICK) -> Done:
        if verb in ("stop", "restart"):
            self.stops.update(dict.fromkeys(names, timeout))
        return super().systemctl(verb, names, timeout=timeout)

    def accepts(self, at: Endpoint, unit: str) -> bool:
        return super().accepts(at, unit) and unit not in self.mute


def patient(found: Manifest) -> Manifest:
    """Give the worker its time."""
    units = [
        replace(unit, stop_timeout=LONG) if unit.service == "worker" else unit
        for unit in found.units
    ]
    return replace(found, units=tuple(units))


def timed(folder: Path) -> tuple[Simulation, Timed]:
    simulation = Simulation.at(folder)
    machine = Timed(simulation.paths, idle=simulation.machine.idle)
    simulation.machine = machine
    return simulation, machine


def test_a_worker_that_is_left_out_has_its_own_time_to_stop(tmp_path: Path) -> None:
    simulation, machine = timed(tmp_path)
    simulation.deploy(patient(manifest(simulation.paths, "r1", worker=True)))
    simulation.deploy(manifest(simulation.paths, "r2"))
    assert simulation.outcomes == ["committed", "committed"]
    assert machine.stops["app-worker.service"] > LONG


def test_a_first_release_that_goes_has_its_own_time_to_stop(tmp_path: Path) -> None:
    simulation, machine = timed(tmp_path)
    machine.sick.add("r1")
    simulation.deploy(patient(manifest(simulation.paths, "r1", worker=True)))
    assert simulation.outcomes == ["rolled_back"]
    assert machine.stops["app-worker.service"] > LONG


def test_a_unit_that_is_started_has_the_time_of_its_gate(tmp_path: Path) -> None:
    slow = manifest(Simulation.at(tmp_path).paths, "r1")
    slow = replace(slow, gate=replace(slow.gate, deadline=600.0))
    assert switch.limit(slow, None) > slow.gate.deadline
    assert switch.limit(None, slow) > slow.gate.deadline


def test_a_rollback_is_requested_while_a_release_starts(tmp_path: Path) -> None:
    simulation, machine = timed(tmp_path)
    simulation.deploy(manifest(simulation.paths, "r1", overlaps=True))
    machine.mute.add("app-web@r2.service")
    simulation.verdict = ""  # its controller has disconnected, and the gate has ten times as long
    slow = manifest(simulation.paths, "r2", overlaps=True)
    simulation.deploy(replace(slow, gate=replace(slow.gate, deadline=10 * simulation.lease)))
    assert simulation.outcomes == ["committed", "rolled_back"]
    assert "lease-expired" in history.entries(simulation.paths)[-1].failure


@dataclass
class Endless(Timed):
    """Has services that put off their own stop: what is not killed is stopping for ever."""

    endless: set[str] = field(default_factory=set)  # releases
    killed: list[str] = field(default_factory=list)  # units

    def systemctl(self, verb: str, names: Sequence[str] = (), *, timeout: float = QUICK) -> Done:
        late = [name for name in names if self._puts_off(name)]
        if verb not in ("stop", "restart") or not late:
            return super().systemctl(verb, names, timeout=timeout)
        for name in late:
            self.running[name].active = "deactivating"
        return replace(GOOD, timed_out=True)

    def _puts_off(self, name: str) -> bool:
        run = self.running.get(name)
        is_service = name.endswith(".service")
        return run is not None and is_service and self.release_in(run.text) in self.endless

    def _kill(self, names: list[str]) -> Done:
        self.killed += names
        return self._stop(names)


def test_a_service_that_delays_its_stop_does_not_block_a_rollback(tmp_path: Path) -> None:
    """EXTEND_TIMEOUT_USEC= of sd_notify(3) is every notifying service's to send."""
    simulation = Simulation.at(tmp_path)
    machine = Endless(simulation.paths, idle=simulation.machine.idle)
    simulation.machine = machine
    simulation.deploy(manifest(simulation.paths, "r1"))
    machine.sick.add("r2")
    machine.endless.add("r2")
    simulation.deploy(manifest(simulation.paths, "r2"))
    assert simulation.outcomes == ["committed", "rolled_back"]
    assert machine.killed == ["app-web.service"]
    assert machine.running_releases() == {"r1"}

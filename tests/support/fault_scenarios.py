"""Scenarios of deploys on a fake machine, and the calls in them that can fail.

    snapshot = Snapshot.of(scratch, upgrade)
    simulate(snapshot, {17: Fault.KILL_BEFORE})  # and what must hold after each scenario is checked

The cases come from the calls that a scenario makes and from the kinds of faults, not from a list.
"""

from __future__ import annotations

import shutil
import tempfile
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from fake_deploy import Simulation, manifest
from fake_machine import Fault, distinct
from shipit.agent.protocol.answers import BY_WATCH
from shipit.agent.protocol.assets import Assets
from shipit.agent.protocol.balancers import Haproxy, LoadBalancer
from shipit.agent.protocol.hooks import AFTER_ACTIVATE, ON_HOST, Hook
from shipit.agent.protocol.manifest import ROLLBACK, Watch
from shipit.agent.protocol.migrations import AGAIN, BEGUN, Migration, unfinished
from shipit.agent.records import drained, history, migrations, releases, views
from shipit.agent.server import adopt

if TYPE_CHECKING:
    from collections.abc import Callable

    Scenario = Callable[[Simulation], None]

MEMORY = Path("/dev/shm")
OLD, NEW = "r1", "r2"
WATCH = Watch(600.0, 30.0, on_failure=ROLLBACK, at_boot=ROLLBACK)
Case = tuple[int, Fault, str]  # at which call, and its name with the state before it


def in_memory() -> Path | None:
    return MEMORY if MEMORY.is_dir() else None


def first_deploy(simulation: Simulation) -> None:
    simulation.deploy(manifest(simulation.paths, NEW, worker=True))


def upgrade(simulation: Simulation) -> None:
    simulation.deploy(manifest(simulation.paths, NEW, worker=True))


def changed_socket(simulation: Simulation) -> None:
    simulation.deploy(manifest(simulation.paths, NEW), port=9000)


def sick_upgrade(simulation: Simulation) -> None:
    simulation.machine.sick.add(NEW)
    simulation.deploy(manifest(simulation.paths, NEW, worker=True))


def sick_first_deploy(simulation: Simulation) -> None:
    sick_upgrade(simulation)


def crashing_upgrade(simulation: Simulation) -> None:
    simulation.machine.crashing.add(NEW)
    simulation.deploy(manifest(simulation.paths, NEW, worker=True))


def called_back(simulation: Simulation) -> None:
    simulation.verdict = "revert"
    upgrade(simulation)


def unconfirmed(simulation: Simulation) -> None:
    simulation.verdict = ""
    upgrade(simulation)


def rollback(simulation: Simulation) -> None:
    simulation.rollback(NEW)


def overlapping_upgrade(simulation: Simulation) -> None:
    simulation.deploy(manifest(simulation.paths, NEW, worker=True, overlaps=True))


def overlapping_from_restarts(simulation: Simulation) -> None:
    overlapping_upgrade(simulation)


def sick_overlapping_upgrade(simulation: Simulation) -> None:
    simulation.machine.sick.add(NEW)
    overlapping_upgrade(simulation)


def crashing_overlapping_upgrade(simulation: Simulation) -> None:
    simulation.machine.crashing.add(NEW)
    overlapping_upgrade(simulation)


def called_back_overlapping(simulation: Simulation) -> None:
    simulation.verdict = "revert"
    overlapping_upgrade(simulation)


def overlapping_rollback(simulation: Simulation) -> None:
    simulation.rollback(NEW)


def sick_first_deploy_where_adopted(simulation: Simulation) -> None:
    sick_upgrade(simulation)


HOOKED = tuple(
    Hook(when, when, ("/bin/true", when, place), 60.0, "root", "/", once=place == "once")
    for when in ON_HOST
    for place in ("each", "once")
)


def hooked_upgrade(simulation: Simulation) -> None:
    simulation.is_elected = True
    simulation.deploy(manifest(simulation.paths, NEW, hooks=HOOKED))


def hooked_first_deploy(simulation: Simulation) -> None:
    hooked_upgrade(simulation)


def upgrade_with_a_failing_hook(simulation: Simulation) -> None:
    simulation.machine.ends[AFTER_ACTIVATE] = 3
    hooked_upgrade(simulation)


def first_deploy_with_a_failing_hook(simulation: Simulation) -> None:
    upgrade_with_a_failing_hook(simulation)


def hooked_rollback(simulation: Simulation) -> None:
    simulation.is_elected = True
    simulation.rollback(NEW)


def migrated_upgrade(simulation: Simulation) -> None:
    simulation.is_elected = True
    command = replace(HOOKED[0], name="migration", command=("/bin/true", "up"))
    made = manifest(simulation.paths, NEW)
    simulation.deploy(replace(made, migration=Migration(command)))


def migrated_sick_upgrade(simulation: Simulation) -> None:
    simulation.machine.sick.add(NEW)
    migrated_upgrade(simulation)


BALANCER = LoadBalancer(5.0, Haproxy(("lb:9999",), "web", "web1"))


def drained_upgrade(simulation: Simulation) -> None:
    simulation.deploy(manifest(simulation.paths, NEW, balancer=BALANCER))


def drained_sick_upgrade(simulation: Simulation) -> None:
    simulation.machine.sick.add(NEW)
    drained_upgrade(simulation)


ASSETS = Assets(2, "files/static")


def upgrade_with_assets(simulation: Simulation) -> None:
    """Deploy a release with static files; those of the old one are found all the time."""

    def old_pages_find_their_files() -> None:
        assert Path(simulation.paths.assets, f"app.{OLD}.js").read_text() == OLD

    simulation.machine.observers.append(old_pages_find_their_files)
    simulation.deploy(manifest(simulation.paths, NEW, assets=ASSETS))
    simulation.machine.observers.clear()


def sick_upgrade_with_assets(simulation: Simulation) -> None:
    simulation.machine.sick.add(NEW)
    upgrade_with_assets(simulation)


def rollback_by_the_watch(simulation: Simulation) -> None:
    """Let the last release fail for as long as its watch looks at it."""
    simulation.machine.sick.add(OLD)
    simulation.machine.idle.append(lambda: failed_long_enough(simulation))
    simulation.watch()
    simulation.machine.sick.clear()


def failed_long_enough(simulation: Simulation) -> None:
    """End the failure once the rollback has begun: this is about faults, not about two at once."""
    if simulation.store.load() is not None:
        simulation.machine.sick.discard(OLD)


# scenario -> releases committed beforehand
SCENARIOS: dict[Scenario, tuple[str, ...]] = {
    first_deploy: (),
    sick_first_deploy: (),
    upgrade: (OLD,),
    changed_socket: (OLD,),
    sick_upgrade: (OLD,),
    crashing_upgrade: (OLD,),
    called_back: (OLD,),
    unconfirmed: (OLD,),
    sick_first_deploy_where_adopted: (),
    rollback: (NEW, OLD),
    overlapping_upgrade: (OLD,),
    overlapping_from_restarts: (OLD,),
    sick_overlapping_upgrade: (OLD,),
    crashing_overlapping_upgrade: (OLD,),
    called_back_overlapping: (OLD,),
    overlapping_rollback: (NEW, OLD),
    hooked_upgrade: (OLD,),
    hooked_first_deploy: (),
    upgrade_with_a_failing_hook: (OLD,),
    first_deploy_with_a_failing_hook: (),
    hooked_rollback: (NEW, OLD),
    migrated_upgrade: (OLD,),
    migrated_sick_upgrade: (OLD,),
    drained_upgrade: (OLD,),
    drained_sick_upgrade: (OLD,),
    upgrade_with_assets: (OLD,),
    sick_upgrade_with_assets: (OLD,),
    rollback_by_the_watch: (NEW, OLD),
}
ENDS: dict[Scenario, str] = {
    first_deploy: NEW,
    upgrade: NEW,
    changed_socket: NEW,
    rollback: NEW,
    overlapping_upgrade: NEW,
    overlapping_from_restarts: NEW,
    overlapping_rollback: NEW,
    hooked_upgrade: NEW,
    hooked_first_deploy: NEW,
    hooked_rollback: NEW,
    migrated_upgrade: NEW,
    drained_upgrade: NEW,
    upgrade_with_assets: NEW,
    rollback_by_the_watch: NEW,
}


def prepared(directory: Path, scenario: Scenario) -> Simulation:
    simulation = Simulation.at(directory)
    if scenario is sick_first_deploy_where_adopted:
        Path(simulation.paths.root).mkdir()
        Path(simulation.paths.current).symlink_to("of/another/tool")
        adopt.adopt(simulation.paths, simulation._attempt("adopt"), simulation.machine.wall_time)
    overlaps = "overlapping" in scenario.__name__ and scenario is not overlapping_from_restarts
    for release in SCENARIOS[scenario]:
        hooks = HOOKED if scenario is hooked_rollback else ()
        assets = ASSETS if "assets" in scenario.__name__ else None
        watch = WATCH if scenario is rollback_by_the_watch else None
        made = manifest(simulation.paths, release, overlaps=overlaps, hooks=hooks, assets=assets)
        simulation.deploy(replace(made, watch=watch))
        assert simulation.head == release
    simulation.machine.calls.clear()
    simulation.machine.ran.clear()
    simulation.processes = 0
    return simulation


@dataclass(frozen=True)
class Snapshot:
    """A scenario as far as it is the same in every run: simulated once, then copied."""

    scenario: Scenario
    simulation: Simulation
    home: Path
    disk: Path  # a copy of it

    @classmethod
    def of(cls, scratch: Path, scenario: Scenario) -> Snapshot:
        home, disk = scratch / "home", scratch / "disk"
        return cls(
            scenario, prepared(home, scenario), home, shutil.copytree(home, disk, symlinks=True)
        )

    def begun(self) -> Simulation:
        """Put the machine back to where the scenario begins."""
        shutil.rmtree(self.home)
        shutil.copytree(self.disk, self.home, symlinks=True)
        return deepcopy(self.simulation)


def simulate(snapshot: Snapshot, faults: dict[int, Fault]) -> Simulation:
    """Run a scenario with faults, then check what must hold after every one."""
    simulation = snapshot.begun()
    before = simulation.head
    simulation.machine.faults = faults
    snapshot.scenario(simulation)
    simulation.machine.faults = {}
    check_invariants(simulation, before)
    return simulation


def check_invariants(simulation: Simulation, before: str) -> None:
    assert "stuck" not in simulation.outcomes
    assert len(set(simulation.machine.ran)) == len(simulation.machine.ran), "a hook ran twice"
    check_migration(simulation)
    check_assets(simulation)
    by_watch = [e for e in history.entries(simulation.paths) if e.who == BY_WATCH]
    assert len({entry.txn for entry in by_watch}) <= 1, "the watch has rolled back twice"
    simulation.assert_nothing_is_left()
    check_it_is_undrained(simulation)
    settled = simulation.settled()
    if settled is not None:
        assert settled.running == simulation.head
        assert (settled.outcome == "committed") == (simulation.outcomes[-1] == "committed")
    check_one_release_runs(simulation, before)


def check_migration(simulation: Simulation) -> None:
    """Check that a migration that has run is on record, and as unfinished if that is unknown."""
    states = [line.state for line in migrations.lines(simulation.paths)]
    if "/bin/true up" in simulation.machine.ran:
        assert states[:1] == [BEGUN]
    assert states in ([], [BEGUN], [BEGUN, "applied"], [BEGUN, "failed"])


def check_it_is_undrained(simulation: Simulation) -> None:
    """Check that this host serves: in every scenario a healthy release runs at the end."""
    assert drained.read(simulation.paths) is None
    assert set(simulation.machine.balancer.values()) <= {"ready"}


def check_assets(simulation: Simulation) -> None:
    """Check that clients find the files of what runs, whole, and after a rollback no others."""
    running = releases.manifest(simulation.paths, simulation.head)
    wanted = views.wanted(simulation.paths, running)
    found = {path.name: path.read_text() for path in Path(simulation.paths.assets).glob("*")}
    expected = {
        name: Path(path).read_text() for name, path in views.links(simulation.paths, wanted).items()
    }
    assert found.items() >= expected.items()
    if simulation.head == OLD:
        assert found == expected


def check_one_release_runs(simulation: Simulation, before: str) -> None:
    assert simulation.head in (before, NEW)
    simulation.assert_serves(simulation.head)
    after, simulation.verdict = simulation.head, "commit"  # nothing blocks the next one
    if unfinished(migrations.lines(simulation.paths)):  # but an operator must decide
        simulation.options = (AGAIN,)
    simulation.deploy(manifest(simulation.paths, "r3"))
    assert simulation.head == "r3", f"blocked after {after}"
    simulation.assert_serves("r3")
    simulation.assert_nothing_is_left()


def moments(snapshot: Snapshot, most: int) -> dict[int, str]:
    """Return the calls that differ: of each kind in a state, the first and the last."""
    simulation = snapshot.begun()
    simulation.machine.label = lambda: simulation.state
    snapshot.scenario(simulation)
    alike: dict[str, list[int]] = {}
    for index, name in enumerate(simulation.machine.calls):
        alike.setdefault(name, []).append(index)
    chosen = {i for found in alike.values() for i in (*found[: most - 1], *found[-1:])}
    return {index: simulation.machine.calls[index] for index in sorted(chosen)}


def single(snapshot: Snapshot) -> list[Case]:
    """Return every fault of every kind of call that makes a difference, with that call."""
    calls = moments(snapshot, most=2)
    return [(index, fault, call) for index, call in calls.items() for fault in distinct(call)]


def sampled(snapshot: Snapshot) -> list[Case]:
    """Return a scenario's part of all faults of all calls, and each kind of fault in each state."""
    cases = single(snapshot)
    parts = shares()
    own = [case for case in cases if parts[case[1:]] is snapshot.scenario]
    in_states = {(state_of(call), fault): (index, fault, call) for index, fault, call in cases}
    in_states |= {(state_of(call), fault): (index, fault, call) for index, fault, call in own}
    return sorted({*own, *in_states.values()}, key=cases.index)


@cache
def shares() -> dict[tuple[Fault, str], Scenario]:
    """Return for each fault of each call one of the scenarios that come to it, in turn."""
    having: dict[tuple[Fault, str], list[Scenario]] = {}
    for scenario in SCENARIOS:
        with tempfile.TemporaryDirectory(dir=in_memory()) as scratch:
            for _, fault, call in single(Snapshot.of(Path(scratch), scenario)):
                having.setdefault((fault, call), []).append(scenario)
    turns = count()
    return {each: scenarios[next(turns) % len(scenarios)] for each, scenarios in having.items()}


def state_of(call: str) -> str:
    return call.partition(":")[0]

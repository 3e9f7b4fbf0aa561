"""What another tool has deployed is taken over as it is, and a rollback can return to it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fake_deploy import Simulation, manifest
from shipit.agent.records import app_root, history, releases
from shipit.agent.server import adopt, facts, status
from shipit.agent.system.failures import Refused
from unit.agent.records.test_app_root import capistrano

if TYPE_CHECKING:
    from shipit.agent.protocol.manifest import Manifest

SICK, GOOD = "r1", "r2"


@pytest.fixture
def simulation(tmp_path: Path) -> Simulation:
    simulation = Simulation.at(tmp_path)
    capistrano(Path(simulation.paths.root))
    return simulation


def taken_over(simulation: Simulation) -> Manifest:
    return adopt.adopt(simulation.paths, simulation._attempt("adopt"), simulation.machine.wall_time)


def theirs(simulation: Simulation) -> dict[str, str]:
    """Return everything of the other tool, and where its links lead."""
    root = Path(simulation.paths.root)
    ours = ("ledger.jsonl", ".doomed")
    names = [path for path in sorted(root.rglob("*")) if not path.name.startswith("adopted-")]
    return {
        str(path): os.readlink(path) if path.is_symlink() else str(path.stat().st_mtime_ns)  # noqa: PTH115
        for path in names
        if path.name not in ours and "adopted-" not in str(path) and not path.is_dir()
    }


def test_what_is_taken_over_is_recorded_and_left_as_it_is(simulation: Simulation) -> None:
    before, target = theirs(simulation), os.readlink(simulation.paths.current)  # noqa: PTH115
    made = taken_over(simulation)
    assert made.adopted == target
    assert theirs(simulation) == before
    assert app_root.problems(simulation.paths) == ()
    (line,) = history.entries(simulation.paths)
    assert (line.what, line.outcome, line.release) == ("adopt", "committed", made.id)
    found = releases.manifest(simulation.paths, made.id)
    assert found is not None
    assert facts.healthy(simulation.paths, simulation.machine, found)
    assert status.gather(simulation.store, verify=True).drift == ()


def test_a_first_deploy_that_fails_leaves_the_other_tools_as_it_was(simulation: Simulation) -> None:
    before = theirs(simulation)
    made = taken_over(simulation)
    simulation.machine.sick.add(SICK)
    simulation.deploy(manifest(simulation.paths, SICK, worker=True))
    assert simulation.outcomes == ["committed", "rolled_back"]
    assert (simulation.head, theirs(simulation)) == (made.id, before | theirs_of(simulation, SICK))
    assert simulation.machine.running == {}


def theirs_of(simulation: Simulation, release: str) -> dict[str, str]:
    """Return what is kept of a failed release as evidence."""
    folder = simulation.paths.release(release).top
    return {path: time for path, time in theirs(simulation).items() if path.startswith(folder)}


def test_a_rollback_of_the_first_deploy_brings_current_back_exactly(simulation: Simulation) -> None:
    target = os.readlink(simulation.paths.current)  # noqa: PTH115
    made = taken_over(simulation)
    simulation.deploy(manifest(simulation.paths, GOOD))
    simulation.assert_serves(GOOD)
    assert history.rollback_target(history.entries(simulation.paths), GOOD) == made.id
    simulation.rollback(made.id)
    assert (simulation.outcomes[-1], simulation.head) == ("committed", made.id)
    assert os.readlink(simulation.paths.current) == target  # noqa: PTH115
    assert simulation.machine.running == {}
    assert list(Path(simulation.paths.units).glob("app-*")) == []


def test_the_other_tools_releases_outlive_any_number_of_ours(simulation: Simulation) -> None:
    taken_over(simulation)
    for number in range(8):
        simulation.deploy(manifest(simulation.paths, f"r{number}", keep=2))
    assert releases.listed(simulation.paths) == ["20240101120000", "20240202120000", "r6", "r7"]


def test_a_root_without_current_is_taken_over_too(simulation: Simulation) -> None:
    Path(simulation.paths.current).unlink()
    made = taken_over(simulation)
    assert made.adopted == ""
    simulation.deploy(manifest(simulation.paths, GOOD))
    simulation.rollback(made.id)
    assert simulation.head == made.id
    assert not os.path.lexists(simulation.paths.current)


def test_what_is_shipits_own_is_not_taken_over(simulation: Simulation) -> None:
    taken_over(simulation)
    with pytest.raises(Refused) as caught:
        taken_over(simulation)
    assert caught.value.failure.code == "nothing-to-adopt"


def test_a_current_that_is_a_directory_is_refused(simulation: Simulation) -> None:
    current = Path(simulation.paths.current)
    current.unlink()
    current.mkdir()
    with pytest.raises(Refused) as caught:
        taken_over(simulation)
    assert caught.value.failure.code == "current-taken"
    assert not Path(simulation.paths.ledger).exists()


def test_the_drift_of_what_was_taken_over_is_its_current_alone(simulation: Simulation) -> None:
    taken_over(simulation)
    (Path(simulation.paths.root) / "releases/20240202120000/app.rb").write_text("changed")
    assert status.gather(simulation.store, verify=True).drift == ()
    Path(simulation.paths.current).unlink()
    (drift,) = status.gather(simulation.store, verify=True).drift
    assert drift.code == "adopted-moved"
    assert "points at no release instead of" in drift.what

"""The app's root is used only where root alone controls it, and where it is the app's own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fake_deploy import Simulation, manifest
from marks import needs_root
from shipit.agent.records import app_root, registry, releases
from shipit.agent.system.failures import Refused
from shipit.agent.system.paths import Paths
from shipit.agent.transaction import client

if TYPE_CHECKING:
    from collections.abc import Callable

SOMEBODY = 4711


@pytest.fixture
def simulation(tmp_path: Path) -> Simulation:
    return Simulation.at(tmp_path)


def refused(paths: Paths) -> Refused:
    with pytest.raises(Refused) as caught:
        app_root.require(paths)
    return caught.value


def codes(paths: Paths) -> list[str]:
    return [problem.code for problem in app_root.problems(paths)]


def give(path: str) -> None:
    os.chown(path, SOMEBODY, SOMEBODY, follow_symlinks=False)


def open_up(path: str) -> None:
    Path(path).chmod(0o775)


# --- who can change it -------------------------------------------------------------------------


@needs_root
@pytest.mark.parametrize("weaken", [give, open_up])
@pytest.mark.parametrize("place", ["..", ".", "releases", "ledger.jsonl"])
def test_a_root_that_others_can_change_is_refused_with_what_cures_it(
    simulation: Simulation, place: str, weaken: Callable[[str], None]
) -> None:
    simulation.deploy(manifest(simulation.paths, "r1"))
    app_root.require(simulation.paths)
    path = os.path.normpath(os.path.join(simulation.paths.root, place))  # noqa: PTH118 - `..`
    weaken(path)
    failure = refused(simulation.paths).failure
    assert failure.code == "root-untrusted"
    assert f"{path} belongs to" in failure.what
    assert failure.hint.endswith(path)
    os.system(failure.hint)  # noqa: S605 - it is what an operator is asked to type
    app_root.require(simulation.paths)


@needs_root
def test_a_symlink_to_the_root_that_somebody_can_turn_is_refused(simulation: Simulation) -> None:
    link = Path(simulation.paths.root).parent / "link"
    link.symlink_to(simulation.paths.root)
    give(str(link))
    assert refused(Paths("app", str(link), simulation.paths.var)).failure.code == "root-untrusted"


@needs_root
def test_a_root_that_anybody_could_make_first_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "tmp"
    folder.mkdir()
    folder.chmod(0o1777)
    paths = Paths("app", str(folder / "app"), str(tmp_path / "var"))
    assert refused(paths).failure.code == "root-untrusted"
    Path(paths.root).mkdir()
    app_root.require(paths)  # root's own now, and the sticky bit keeps it in its place


@needs_root
def test_a_root_that_is_given_away_under_a_transaction_is_touched_no_more(
    simulation: Simulation,
) -> None:
    simulation.deploy(manifest(simulation.paths, "r1"))
    simulation.machine.sick.add("r2")
    untouched = Path(simulation.paths.root, "releases")
    give(simulation.paths.root)
    before = sorted(untouched.rglob("*"))
    simulation.verdict = "revert"
    simulation.deploy(manifest(simulation.paths, "r2"))
    assert simulation.outcomes == ["committed"]
    assert [path for path in sorted(untouched.rglob("*")) if "r1" in str(path)] == [
        path for path in before if "r1" in str(path)
    ]


# --- where it is -------------------------------------------------------------------------------


def empty(root: str) -> None:
    shutil.rmtree(root)
    Path(root).mkdir()


@pytest.mark.parametrize("hide", [shutil.rmtree, empty])
def test_a_root_that_is_not_mounted_is_reported_as_that(
    simulation: Simulation, hide: Callable[[str], object]
) -> None:
    simulation.deploy(manifest(simulation.paths, "r1"))
    hide(simulation.paths.root)
    failure = refused(simulation.paths).failure
    assert (failure.code, "r1 was committed" in failure.what) == ("root-missing", True)
    assert "findmnt" in failure.hint
    Path(registry.path_of(simulation.paths)).unlink()  # what the hint says
    assert codes(simulation.paths) == []


def test_a_root_in_which_nothing_was_ever_committed_may_be_empty(simulation: Simulation) -> None:
    simulation.machine.sick.add("r1")
    simulation.deploy(manifest(simulation.paths, "r1"))
    shutil.rmtree(simulation.paths.root)
    assert codes(simulation.paths) == []


def test_what_an_earlier_agent_remembered_counts(simulation: Simulation) -> None:
    Path(simulation.paths.apps).mkdir()
    Path(registry.path_of(simulation.paths)).write_text(simulation.paths.root)
    assert codes(simulation.paths) == ["root-missing"]


def test_a_lost_ledger_is_no_missing_root(simulation: Simulation) -> None:
    simulation.deploy(manifest(simulation.paths, "r1"))
    Path(simulation.paths.ledger).unlink()
    assert codes(simulation.paths) == []


def test_an_app_that_lies_elsewhere_is_refused_with_where(simulation: Simulation) -> None:
    simulation.deploy(manifest(simulation.paths, "r1"))
    moved = Paths("app", simulation.paths.root + "2", simulation.paths.var)
    failure = refused(moved).failure
    assert failure.code == "root-changed"
    assert f"root: {simulation.paths.root}`" in failure.hint
    assert codes(simulation.paths) == []


def test_a_memory_of_another_format_is_no_first_release(simulation: Simulation) -> None:
    simulation.deploy(manifest(simulation.paths, "r1"))
    Path(registry.path_of(simulation.paths)).write_text('{"format": 99}')
    assert refused(simulation.paths).failure.code == "registration-unreadable"


# --- whose it is -------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["", "/inside", "/.."])
def test_a_root_that_meets_that_of_another_app_is_refused(
    simulation: Simulation, place: str
) -> None:
    simulation.deploy(manifest(simulation.paths, "r1"))
    root = os.path.normpath(simulation.paths.root + place)
    other = Paths("other", root, simulation.paths.var)
    (problem,) = (p for p in app_root.problems(other) if p.code == "root-of-another-app")
    assert "of the app app (r1)" in problem.what
    assert (
        app_root.problems(Paths("other", simulation.paths.root + "2", simulation.paths.var)) == ()
    )


def test_an_app_whose_ledger_is_gone_owns_no_root(simulation: Simulation) -> None:
    simulation.deploy(manifest(simulation.paths, "r1"))
    shutil.rmtree(simulation.paths.root)
    assert codes(Paths("other", simulation.paths.root, simulation.paths.var)) == []


def capistrano(root: Path) -> None:
    """Lay out what another tool has deployed."""
    for stamp in ("20240101120000", "20240202120000"):
        (root / "releases" / stamp).mkdir(parents=True)
        (root / "releases" / stamp / "app.rb").write_text(stamp)
    (root / "shared").mkdir()
    (root / "revisions.log").write_text("deployed\n")
    (root / "current").symlink_to(root / "releases/20240202120000")


def test_another_tools_root_is_refused_with_what_was_found_and_two_ways_out(
    simulation: Simulation,
) -> None:
    root = Path(simulation.paths.root)
    capistrano(root)
    (problem,) = app_root.problems(simulation.paths)
    assert problem.code == "root-foreign"
    for name in ("current -> ", "releases/ with 2 folders", "shared/", "revisions.log"):
        assert name in problem.what
    assert "another `root:`" in problem.hint
    assert "shipit adopt" in problem.hint


def test_an_empty_disk_is_nobodys_root(simulation: Simulation) -> None:
    (Path(simulation.paths.root) / "lost+found").mkdir(parents=True)
    assert codes(simulation.paths) == []


def test_what_a_killed_first_deploy_left_is_ours(simulation: Simulation) -> None:
    client.begin(simulation.store, simulation._attempt("deploy"), "r1", fresh=True)
    Path(simulation.paths.release("r1").top).mkdir(parents=True)
    assert codes(simulation.paths) == []


def test_only_what_the_ledger_names_is_ever_removed(simulation: Simulation) -> None:
    simulation.deploy(manifest(simulation.paths, "r1", keep=1))
    foreign = Path(simulation.paths.releases, "20240101120000")
    foreign.mkdir()
    for release in ("r2", "r3", "r4"):
        simulation.deploy(manifest(simulation.paths, release, keep=1))
    assert releases.listed(simulation.paths) == ["20240101120000", "r3", "r4"]


@needs_root
def test_all_that_was_given_away_is_named_at_once_with_what_takes_it_back(
    simulation: Simulation,
) -> None:
    simulation.deploy(manifest(simulation.paths, "r1"))
    give(simulation.paths.root)
    for path in Path(simulation.paths.root).rglob("*"):
        give(str(path))
    failure = refused(simulation.paths).failure
    for given in (
        simulation.paths.root,
        simulation.paths.ledger,
        simulation.paths.release("r1").top,
    ):
        assert f"{given} belongs to" in failure.what
    os.system(failure.hint)  # noqa: S605 - it is what an operator is asked to type
    app_root.require(simulation.paths)

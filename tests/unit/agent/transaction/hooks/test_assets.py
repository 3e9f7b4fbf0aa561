"""Static files in a transaction, on the fake machine: which are found when, also after failures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import nested_folders
from fake_deploy import Simulation, manifest
from fake_machine import Fault
from fault_scenarios import ASSETS, NEW, OLD, prepared, upgrade, upgrade_with_assets
from marks import needs_root
from shipit.agent.protocol.assets import Assets
from shipit.agent.protocol.hooks import STAGED, Hook
from shipit.agent.records import history

if TYPE_CHECKING:
    from shipit.agent.protocol.manifest import Manifest

COLLECT = Hook("assets", STAGED, ("/bin/true", "collect"), 60.0, "root", "/")


@pytest.fixture
def site(tmp_path: Path) -> Simulation:
    """Give a machine that runs the old release with its static files."""
    return prepared(tmp_path, upgrade_with_assets)


def release(site: Simulation, name: str, assets: Assets | None = ASSETS) -> Manifest:
    return manifest(site.paths, name, assets=assets)


def found(site: Simulation) -> dict[str, str]:
    """Return what clients find, by name."""
    top = Path(site.paths.assets)
    return {str(it.relative_to(top)): it.read_text() for it in top.rglob("*") if it.is_file()}


def files(newest: str, *others: str) -> dict[str, str]:
    return {"site.css": newest, **{f"app.{it}.js": it for it in (newest, *others)}}


def views_left(site: Simulation) -> list[str]:
    folder = Path(site.paths.views)
    return sorted(it.name for it in folder.iterdir()) if folder.exists() else []


def test_new_names_are_found_once_staged_and_new_files_once_switched(site: Simulation) -> None:
    seen: dict[str, dict[str, str]] = {}
    site.machine.observers.append(lambda: void(seen.update({site.state: found(site)})))
    site.deploy(release(site, NEW))
    assert seen["trial"] == {**files(NEW, OLD), "site.css": OLD}
    assert seen["check"] == files(NEW, OLD)


def void(_nothing: object) -> None:
    """Return nothing."""


def test_the_files_of_so_many_releases_are_kept_whatever_becomes_of_others(
    site: Simulation,
) -> None:
    for name in ("r2", "r3"):
        site.deploy(release(site, name))
    assert found(site) == files("r3", "r2")
    site.machine.sick.add("r4")
    site.deploy(release(site, "r4"))
    assert (site.head, found(site)) == ("r3", files("r3", "r2"))
    site.deploy(release(site, "r5", replace(ASSETS, keep=1)))
    assert found(site) == files("r5")
    assert len(views_left(site)) == 1


def test_nothing_leaves_before_the_commit(site: Simulation) -> None:
    site.deploy(release(site, "r2"))
    site.machine.sick.add("r3")
    lost: list[str] = []

    def the_oldest_are_there() -> None:
        lost.extend({*files("r2", OLD)} - {*found(site)})

    site.machine.observers.append(the_oldest_are_there)
    site.deploy(release(site, "r3"))
    assert (lost, found(site)) == ([], files("r2", OLD))


def test_after_a_rollback_the_files_of_its_target_win_and_those_it_left_stay(
    site: Simulation,
) -> None:
    site.deploy(release(site, NEW))
    site.rollback(OLD)
    assert found(site) == files(OLD, NEW)


def test_a_release_without_static_files_ends_them_with_its_commit(site: Simulation) -> None:
    site.deploy(release(site, "r2"))
    seen: list[dict[str, str]] = []
    site.machine.observers.append(lambda: seen.append(found(site)))
    site.deploy(release(site, "r3", None))
    assert files("r2", OLD) in seen
    site.machine.observers.clear()
    assert (found(site), views_left(site)) == ({}, [])
    assert not Path(site.paths.assets).is_symlink()
    site.rollback("r2")
    assert found(site) == files("r2")


def test_a_first_release_that_fails_leaves_no_static_files(tmp_path: Path) -> None:
    site = Simulation.at(tmp_path)
    site.machine.sick.add(NEW)
    site.deploy(release(site, NEW))
    assert site.outcomes == ["rolled_back"]
    assert not Path(site.paths.assets).is_symlink()
    assert not Path(site.paths.views).exists()


def test_a_folder_that_no_package_has_fails_its_staging(site: Simulation) -> None:
    site.deploy(release(site, NEW, replace(ASSETS, is_in_package=True)))
    assert "[assets-missing]" in last_failure(site)
    assert (site.outcomes[-1], found(site)) == ("discarded", files(OLD))


def last_failure(site: Simulation) -> str:
    return history.entries(site.paths)[-1].failure


def test_a_folder_that_a_link_leads_to_is_not_taken(site: Simulation, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("secret")
    folder = Path(site.paths.release(NEW).files)
    folder.mkdir(parents=True)
    (folder / "link").symlink_to(tmp_path / "outside")
    wanted = release(site, NEW, replace(ASSETS, folder="files/link"))
    site.deploy(wanted)
    assert "assets-missing" in last_failure(site)
    assert found(site) == files(OLD)


def test_a_full_disk_while_files_are_copied_or_linked_changes_nothing(tmp_path: Path) -> None:
    rehearsed = prepared(tmp_path / "a", upgrade_with_assets)
    rehearsed.deploy(release(rehearsed, NEW))
    calls = rehearsed.machine.calls
    moments = [it for it, call in enumerate(calls) if "link r" in call or "copy static" in call]
    for number, moment in enumerate(moments[:2]):
        site = prepared(tmp_path / f"b{number}", upgrade_with_assets)
        site.machine.faults = {moment: Fault.ERROR}
        site.deploy(release(site, NEW))
        assert (site.outcomes[-1], found(site)) == ("discarded", files(OLD))
        assert "[disk-full]" in last_failure(site)


def test_what_somebody_else_puts_in_its_place_is_left_alone(site: Simulation) -> None:
    site.deploy(release(site, NEW))
    Path(site.paths.assets).unlink()
    Path(site.paths.assets).mkdir()
    site.rollback(OLD)
    assert site.head == OLD
    assert list(Path(site.paths.assets).iterdir()) == []


@pytest.mark.parametrize("wanted", [None, ASSETS])
def test_files_of_others_stay_where_views_lie(site: Simulation, wanted: Assets | None) -> None:
    (foreign := Path(site.paths.views, "theirs")).mkdir()
    for name in ("r3", "r4"):
        site.deploy(release(site, name, wanted))
    assert site.head == "r4"
    assert foreign.is_dir()
    assert len(views_left(site)) == (2 if wanted else 1)


def test_a_link_of_others_where_views_would_lie_is_left_alone(tmp_path: Path) -> None:
    site = prepared(tmp_path, upgrade)
    (elsewhere := tmp_path / "elsewhere").mkdir()
    (elsewhere / "r1.0123456789ab").mkdir()
    Path(site.paths.views).symlink_to(elsewhere)
    site.deploy(release(site, NEW, None))
    assert site.head == NEW
    assert [it.name for it in elsewhere.iterdir()] == ["r1.0123456789ab"]


# --- of a command --------------------------------------------------------------------------------


def collecting(site: Simulation, name: str) -> Manifest:
    """Return a release whose command writes the files of its name."""

    def write() -> None:
        Path(site.paths.release(name).assets, f"app.{name}.js").write_text(name)

    site.machine.does["collect"] = write
    return release(site, name, Assets(2, command=COLLECT))


@needs_root
def test_a_command_makes_the_files_once_and_is_on_record(site: Simulation) -> None:
    site.deploy(collecting(site, NEW))
    assert found(site) == {**files(OLD), f"app.{NEW}.js": NEW}
    lines = [line for lines in history.hooks(site.paths).values() for line in lines]
    assert [(line.hook, line.when, line.outcome) for line in lines] == [("assets", STAGED, "ok")]
    site.rollback(OLD)
    site.deploy(collecting(site, NEW))  # it has its files
    assert site.machine.ran == ["/bin/true collect"]


@needs_root
def test_a_command_that_fails_or_writes_nothing_fails_its_staging(site: Simulation) -> None:
    site.machine.ends["collect"] = 3
    site.deploy(collecting(site, NEW))
    assert "[hook-failed] the hook assets (staged)" in last_failure(site)
    site.machine.ends.clear()
    wanted = collecting(site, NEW)
    site.machine.does.clear()
    site.deploy(wanted)
    assert "[assets-missing]" in last_failure(site)
    assert (site.outcomes[-2:], found(site)) == (["discarded"] * 2, files(OLD))


@needs_root
def test_a_host_is_free_again_whatever_a_command_has_made(site: Simulation) -> None:
    def nest() -> None:
        nested_folders.make(Path(site.paths.release(NEW).assets), 1_200)  # Python's stack: 1,000

    for ends in (0, 3):
        wanted = collecting(site, NEW)
        site.machine.does["collect"] = nest
        site.machine.ends["collect"] = ends
        site.deploy(wanted)
        assert (site.outcomes[-1], site.state, found(site)) == ("discarded", "closed", files(OLD))
        assert not Path(site.paths.marked).exists()
    site.machine.ends.clear()
    site.deploy(collecting(site, NEW))
    assert (site.head, site.outcomes[-1]) == (NEW, "committed")


@needs_root
def test_a_command_that_was_interrupted_is_not_run_again(site: Simulation) -> None:
    moment = len(site.machine.calls)
    wanted = collecting(site, NEW)
    site.deploy(wanted)
    at = next(
        it for it, call in enumerate(site.machine.calls[moment:]) if "run /bin/true collect" in call
    )
    again = prepared(Path(site.paths.root).parents[1] / "again", upgrade_with_assets)
    again.machine.faults = {at: Fault.KILL_AFTER}
    again.deploy(collecting(again, NEW))
    again.machine.faults = {}
    assert again.machine.ran == ["/bin/true collect"]
    lines = [line for lines in history.hooks(again.paths).values() for line in lines]
    assert [(line.hook, line.outcome) for line in lines] == [("assets", "interrupted")]
    assert found(again) == files(OLD)

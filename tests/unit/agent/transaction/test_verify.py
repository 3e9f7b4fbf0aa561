"""Nothing is switched to that is not what was committed, and a rollback is always possible."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fake_deploy import PACKAGES, RECORD, Simulation, manifest
from shipit.agent.protocol.codec import to_json
from shipit.agent.records import history, releases
from shipit.agent.transaction.states import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from shipit.agent.system.paths import ReleasePaths

HOSTILE = "[Service]\nExecStart=/tmp/rootkit\n"


@pytest.fixture
def simulation(tmp_path: Path) -> Simulation:
    """Give a machine that runs r2, and could go back to r1."""
    simulation = Simulation.at(tmp_path)
    for release in ("r1", "r2"):
        simulation.deploy(manifest(simulation.paths, release))
    return simulation


def unit(simulation: Simulation, release: str) -> Path:
    return Path(simulation.paths.release(release).units, "app-web.service")


def installed(simulation: Simulation) -> str:
    return "".join(path.read_text() for path in Path(simulation.paths.units).glob("app-*"))


def forge(simulation: Simulation, release: str) -> None:
    """Have a release bring another unit, with a manifest that says it is right."""
    unit(simulation, release).write_text(HOSTILE)
    found = releases.manifest(simulation.paths, release)
    assert found is not None
    texts = tuple(
        replace(text, sha256=releases.digest(HOSTILE)) if "app-web.service" in text.name else text
        for text in found.texts
    )
    path = Path(simulation.paths.release(release).manifest)
    path.write_text(json.dumps(to_json(replace(found, texts=texts))))


def test_the_manifest_that_was_committed_is_known_to_the_ledger(simulation: Simulation) -> None:
    (first, second) = history.entries(simulation.paths)
    assert first.manifest != second.manifest
    assert second.manifest == releases.manifest_digest(simulation.paths, "r2")


def test_a_unit_that_was_changed_before_a_rollback_is_not_installed(simulation: Simulation) -> None:
    unit(simulation, "r1").write_text(HOSTILE)
    simulation.rollback("r1")
    failure = simulation.failure()
    assert failure.code == "release-damaged"
    assert f"{unit(simulation, 'r1')} was changed" in failure.what
    assert HOSTILE not in installed(simulation)
    simulation.assert_serves("r2")
    simulation.assert_nothing_is_left()


def test_a_manifest_that_was_forged_before_a_rollback_is_not_believed(
    simulation: Simulation,
) -> None:
    forge(simulation, "r1")
    simulation.rollback("r1")
    assert simulation.failure().code == "release-damaged"
    assert "manifest.json was changed since it was committed" in simulation.failure().what
    assert HOSTILE not in installed(simulation)
    simulation.assert_serves("r2")


def lose_env(release: ReleasePaths) -> None:
    found = json.loads(Path(release.manifest).read_text())
    found["env"] = [{"service": "web", "keys": [], "salt": "", "digest": ""}]
    Path(release.manifest).write_text(json.dumps(found))


def lose_python(release: ReleasePaths) -> None:
    Path(release.python).unlink()
    Path(release.python).symlink_to("/usr/bin/python3.2")


def lose_wheel(release: ReleasePaths) -> None:
    Path(release.venv, PACKAGES, RECORD).unlink()


def lose_packages(release: ReleasePaths) -> None:
    shutil.rmtree(Path(release.venv, "lib"))


@pytest.mark.parametrize(
    ("lose", "words"),
    [
        (lose_env, "env/web.env is missing"),
        (lose_python, "leads to /usr/bin/python3.2, which is no longer an interpreter"),
        (lose_wheel, "uv is no longer installed"),
        (lose_packages, "uv is no longer installed"),
    ],
)
def test_a_rollback_target_that_lacks_something_is_not_switched_to(
    simulation: Simulation, lose: Callable[[ReleasePaths], None], words: str
) -> None:
    lines = [replace(line, manifest="") for line in history.entries(simulation.paths)]
    Path(simulation.paths.ledger).unlink()  # as an earlier agent wrote it: what is new is accepted
    for line in lines:
        history.append(simulation.paths, line)
    lose(simulation.paths.release("r1"))
    simulation.rollback("r1")
    assert simulation.failure().code == "release-damaged"
    assert words in simulation.failure().what
    simulation.assert_serves("r2")


def test_a_changed_text_of_the_running_release_is_put_right_before_it_is_needed(
    simulation: Simulation,
) -> None:
    unit(simulation, "r2").write_text(HOSTILE)
    simulation.machine.sick.add("r3")
    simulation.deploy(manifest(simulation.paths, "r3"))
    assert simulation.outcomes[-1] == "rolled_back"
    assert HOSTILE not in installed(simulation)
    simulation.assert_serves("r2")
    simulation.assert_nothing_is_left()


def test_nothing_is_switched_while_no_rollback_to_the_running_release_is_possible(
    simulation: Simulation,
) -> None:
    for path in (unit(simulation, "r2"), Path(simulation.paths.units, "app-web.service")):
        path.write_text(HOSTILE)
    pids = {name: run.pid for name, run in simulation.machine.running.items()}
    simulation.deploy(manifest(simulation.paths, "r3"))
    assert (simulation.outcomes[-1], simulation.failure().code) == ("discarded", "release-damaged")
    assert {name: run.pid for name, run in simulation.machine.running.items()} == pids
    simulation.assert_nothing_is_left()
    simulation.deploy(manifest(simulation.paths, "r2"))  # as the hint says: it is staged again
    simulation.assert_serves("r2")
    simulation.deploy(manifest(simulation.paths, "r3"))
    simulation.assert_serves("r3")


def test_a_rollback_leads_out_of_a_damaged_release(simulation: Simulation) -> None:
    for path in (unit(simulation, "r2"), Path(simulation.paths.units, "app-web.service")):
        path.write_text(HOSTILE)
    simulation.rollback("r1")
    simulation.assert_serves("r1")


def test_what_is_damaged_while_it_is_needed_is_not_installed_and_is_reported(
    simulation: Simulation,
) -> None:
    top = Path(simulation.paths.release("r2").top)
    right = {path: path.read_text() for path in top.rglob("*.*") if path.is_file()}
    simulation.machine.sick.add("r3")
    simulation.machine.idle.append(lambda: forge(simulation, "r2"))  # while r3 is in its gate
    simulation.deploy(manifest(simulation.paths, "r3"))
    opened = simulation.store.load()
    assert opened is not None
    assert opened.state is State.STUCK
    assert opened.failure is not None
    assert "manifest.json was changed since it was committed" in opened.failure.what
    assert HOSTILE not in installed(simulation)
    simulation.machine.idle.pop()
    for path, text in right.items():
        path.write_text(text)
    simulation.hello()
    simulation.assert_serves("r2")
    simulation.assert_nothing_is_left()


def test_a_boot_installs_nothing_that_was_forged(simulation: Simulation) -> None:
    simulation.verdict = ""
    simulation.machine.idle.append(lambda: forge(simulation, "r2"))
    calls = len(simulation.machine.calls)
    simulation.deploy(manifest(simulation.paths, "r3"))
    assert len(simulation.machine.calls) > calls
    simulation._lives(simulation._boot)
    assert HOSTILE not in installed(simulation)


def test_a_rendered_file_that_a_service_has_blown_up_is_a_changed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its mode may let the service write there; a terabyte of zeros takes no room on the disk."""
    monkeypatch.setattr(releases, "TEXT_LIMIT", 1000)
    path = tmp_path / "app.ini"
    path.write_text("[app]\n")
    os.truncate(path, 10**12)
    text = releases.read_text(str(path))
    assert text is not None
    assert len(text) == releases.TEXT_LIMIT

"""The boot unit is there, and systemd takes it, before anything is switched."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fake_deploy import Simulation, manifest
from shipit.agent.host import host
from shipit.agent.system.paths import Paths
from shipit.agent.system.process import Done
from shipit.agent.transaction import boot_unit

if TYPE_CHECKING:
    from collections.abc import Sequence

APPS = ("demo", "recover-demo", "recover", "recover-recover-demo", "demo-recover", "a", "a-b")


@pytest.fixture
def simulation(tmp_path: Path) -> Simulation:
    return Simulation.at(tmp_path)


def armed(simulation: Simulation) -> str:
    """Deploy, and return the boot unit as it was while the release was switched to."""
    seen: list[str] = []
    unit = Path(simulation.paths.boot_unit)
    simulation.machine.idle.append(lambda: seen.append(unit.read_text() if unit.exists() else ""))
    simulation.deploy(manifest(simulation.paths, "r1"))
    return max(seen, default="")


def test_it_is_started_again_where_systemd_knows_how(simulation: Simulation) -> None:
    assert "Restart=on-failure" in armed(simulation)
    assert "daemon-reload" not in [
        call for call in simulation.machine.calls if call.startswith("arm")
    ]
    simulation.assert_nothing_is_left()


def test_where_systemd_refuses_that_it_is_armed_without(simulation: Simulation) -> None:
    """As 240 to 243 do for Type=oneshot."""
    simulation.machine.refuses = "Restart="
    text = armed(simulation)
    assert "ExecStart=" in text
    assert "Restart=" not in text
    assert simulation.head == "r1"
    simulation.assert_nothing_is_left()


def test_where_systemd_takes_none_nothing_is_switched(simulation: Simulation) -> None:
    simulation.deploy(manifest(simulation.paths, "r1"))
    simulation.machine.refuses = "Type=oneshot"
    simulation.deploy(manifest(simulation.paths, "r2"))
    failure = simulation.failure()
    assert failure.code == "boot-unit-refused"
    assert "its load state is bad-setting" in failure.what
    assert "r2" not in {
        simulation.machine.release_in(run.text) for run in simulation.machine.running.values()
    }
    simulation.assert_serves("r1")
    simulation.assert_nothing_is_left()


def test_no_two_apps_share_the_name_of_a_unit_of_ours() -> None:
    """App `recover-demo` had the driver that was called as the boot unit of app `demo`."""
    places = [Paths(app, f"/opt/{app}") for app in APPS]
    names = [(Path(each.boot_unit).name, each.unit) for each in places]
    assert len(set(itertools.chain(*names))) == 2 * len(APPS)


@pytest.fixture
def old(simulation: Simulation) -> Path:
    """Give a boot unit under its former name."""
    unit = Path(simulation.paths.old_boot_unit)
    unit.write_text("[Service]")
    Path(simulation.paths.wants(str(unit))).parent.mkdir(exist_ok=True)
    Path(simulation.paths.wants(str(unit))).symlink_to(f"../{unit.name}")
    return unit


def test_a_unit_under_its_former_name_goes_when_nothing_is_open(
    simulation: Simulation, old: Path
) -> None:
    assert boot_unit.is_armed(simulation.paths)
    simulation.hello()
    assert not old.exists()
    assert not boot_unit.is_armed(simulation.paths)


def test_a_unit_under_its_former_name_is_replaced_by_the_next_one(
    simulation: Simulation, old: Path
) -> None:
    boot_unit.arm(simulation.paths, simulation.machine, {"no": "[Service]"}, [])
    assert not old.exists()
    assert Path(simulation.paths.boot_link).resolve() == Path(simulation.paths.boot_unit)
    assert simulation.store.load() is None


@pytest.mark.parametrize(
    "said", ["Unknown assignment: OOMPolicy=continue", "Cannot set property OOMPolicy, or unknown"]
)
def test_a_driver_is_started_without_what_systemd_does_not_know(
    said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Sequence[str]] = []

    def answered(argv: Sequence[str], _timeout: float) -> Done:
        calls.append(argv)
        return Done(1, said) if any("OOMPolicy" in word for word in argv) else Done(0, "")

    monkeypatch.setattr(host, "_started", answered)
    assert host.RealHost().start_driver("shipit-demo.service", ["/bin/true"]).ok
    assert [word for word in calls[0] if word not in calls[1]] == ["--property=OOMPolicy=continue"]


def test_a_driver_that_is_refused_for_another_reason_is_not_started_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[Sequence[str]] = []

    def refused(argv: Sequence[str], _timeout: float) -> Done:
        calls.append(argv)
        return Done(1, "Unit shipit-demo.service already exists.")

    monkeypatch.setattr(host, "_started", refused)
    assert not host.RealHost().start_driver("shipit-demo.service", ["/bin/true"]).ok
    assert len(calls) == 1

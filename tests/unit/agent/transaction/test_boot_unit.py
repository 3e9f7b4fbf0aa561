"""The boot unit is there, and systemd takes it, before anything is switched."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fake_story import Story, manifest
from shipit.agent.host import host
from shipit.agent.system.paths import Paths
from shipit.agent.system.process import Done
from shipit.agent.transaction import boot_unit

if TYPE_CHECKING:
    from collections.abc import Sequence

APPS = ("demo", "recover-demo", "recover", "recover-recover-demo", "demo-recover", "a", "a-b")


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story.at(tmp_path)


def armed(story: Story) -> str:
    """Deploy, and return the boot unit as it was while the release was switched to."""
    seen: list[str] = []
    unit = Path(story.paths.boot_unit)
    story.machine.idle.append(lambda: seen.append(unit.read_text() if unit.exists() else ""))
    story.deploy(manifest(story.paths, "r1"))
    return max(seen, default="")


def test_it_is_started_again_where_systemd_knows_how(story: Story) -> None:
    assert "Restart=on-failure" in armed(story)
    assert "daemon-reload" not in [call for call in story.machine.calls if call.startswith("arm")]
    story.assert_nothing_is_left()


def test_where_systemd_refuses_that_it_is_armed_without(story: Story) -> None:
    """As 240 to 243 do for Type=oneshot."""
    story.machine.refuses = "Restart="
    text = armed(story)
    assert "ExecStart=" in text
    assert "Restart=" not in text
    assert story.head == "r1"
    story.assert_nothing_is_left()


def test_where_systemd_takes_none_nothing_is_switched(story: Story) -> None:
    story.deploy(manifest(story.paths, "r1"))
    story.machine.refuses = "Type=oneshot"
    story.deploy(manifest(story.paths, "r2"))
    failure = story.failure()
    assert failure.code == "boot-unit-refused"
    assert "its load state is bad-setting" in failure.what
    assert "r2" not in {
        story.machine.release_in(run.text) for run in story.machine.running.values()
    }
    story.assert_serves("r1")
    story.assert_nothing_is_left()


def test_no_two_apps_share_the_name_of_a_unit_of_ours() -> None:
    """App `recover-demo` had the driver that was called as the boot unit of app `demo`."""
    places = [Paths(app, f"/opt/{app}") for app in APPS]
    names = [(Path(each.boot_unit).name, each.unit) for each in places]
    assert len(set(itertools.chain(*names))) == 2 * len(APPS)


@pytest.fixture
def old(story: Story) -> Path:
    """Give a boot unit under its former name."""
    unit = Path(story.paths.old_boot_unit)
    unit.write_text("[Service]")
    Path(story.paths.wants(str(unit))).parent.mkdir(exist_ok=True)
    Path(story.paths.wants(str(unit))).symlink_to(f"../{unit.name}")
    return unit


def test_a_unit_under_its_former_name_goes_when_nothing_is_open(story: Story, old: Path) -> None:
    assert boot_unit.is_armed(story.paths)
    story.hello()
    assert not old.exists()
    assert not boot_unit.is_armed(story.paths)


def test_a_unit_under_its_former_name_is_replaced_by_the_next_one(story: Story, old: Path) -> None:
    boot_unit.arm(story.paths, story.machine, {"no": "[Service]"}, [])
    assert not old.exists()
    assert Path(story.paths.boot_link).resolve() == Path(story.paths.boot_unit)
    assert story.store.load() is None


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

"""The main story on each Debian: what we write is taken by its systemd, Python and sshd.

Whatever is in docs/support.md as played was played here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import wheelhouse
from hosts.scene import PORT, Scene, all_in, heard, stopped
from hosts.site import at_rest
from shipit.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "web1"
CHECKS = [{"http": f"http://127.0.0.1:{PORT}/healthz"}]
IMPATIENT = {"checks": CHECKS, "deadline": "4s", "min_healthy": "300ms"}
PLAYED = ("bullseye", "trixie")  # beside the usual suite, on which all other tests are
PATIENT = {"checks": CHECKS, "min_healthy": "30s"}


@pytest.fixture(scope="module", params=PLAYED)
def story(
    request: pytest.FixtureRequest, lab_machine: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """A host of another suite than all other tests have; a scene with one."""
    folder = tmp_path_factory.mktemp(request.param)
    with Lab.up([HOST], folder, suite=request.param, timeout=180) as lab:
        scene = Scene.set(folder, lab, [HOST])
        scene.handover = "overlap"
        yield scene


def test_a_release_is_deployed_handed_over_and_rolled_back(story: Scene) -> None:
    story.wheel("1.0.0")
    story.playbook("1.0.0")
    ready = story.shipit("doctor")
    assert ready.status == 0, ready.said
    for version in ("1.0.0", "1.1.0"):
        done = story.deploy(version)
        assert done.status == 0, done.said
        assert story.versions() == {HOST: version}
    for handover, status in (("overlap", 3), ("restart", 4)):
        story.handover = handover
        broken = story.deploy("1.2.0", fault="healthz", health=IMPATIENT)
        assert broken.status == status, broken.said
        assert story.versions() == {HOST: "1.1.0"}
    back = story.shipit("rollback")
    assert back.status == 0, back.said
    assert story.versions() == {HOST: "1.0.0"}
    assert story.asked("status")[HOST]["drift"] == []


def test_nothing_that_we_wrote_is_unknown_to_systemd(story: Scene) -> None:
    log = story.sh(HOST, "journalctl --no-pager -o cat _PID=1 | grep -i 'tinyapp\\|shipit'")
    assert [line for line in log.splitlines() if "nknown" in line or "gnoring" in line] == []
    verify = "systemd-analyze verify --man=no /etc/systemd/system/tinyapp-*"
    assert "tinyapp" not in story.sh(HOST, f"{verify} 2>&1 || true")


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_a_python_without_distutils_is_told_before_anything_is_sent(
    story: Scene, installer: str
) -> None:
    """Debian 11 splits it off; a fault that only the build met before."""
    folder = "/usr/lib/python3.9/distutils"
    if story.lab.run(HOST, "test", "-e", f"{folder}/dist.py").returncode:
        pytest.skip("this suite's Python has no distutils to miss")
    wheelhouse.write_wheel(story.wheels, wheelhouse.Recipe("pip", "25.0"))
    story.playbook("1.0.0", installer=installer)
    story.sh(HOST, f"mv {folder}/dist.py /root/")
    try:
        done = story.shipit("doctor")
    finally:
        story.sh(HOST, f"mv /root/dist.py {folder}/")
    assert done.status == 3, done.said
    assert f"{installer} can't use /usr/bin/python3.9: it has no distutils" in done.said
    assert "apt-get install python3-distutils" in done.said


def test_a_host_that_loses_its_power_in_the_gate_comes_back_with_the_old_release(
    story: Scene,
) -> None:
    """The unit that settles it at boot is taken by this systemd, and runs in time."""
    story.wheel("1.3.0")
    story.playbook("1.3.0", health=PATIENT)
    before = story.versions()
    deploying = story.start("deploy", "--json")
    try:
        heard(deploying, all_in("check", [HOST]))
        story.lab.power_cut(HOST)
        story.lab.boot(HOST, timeout=180)
    finally:
        stopped(deploying)
    at_rest(story.lab)
    settled = story.shipit("status")
    assert settled.status == 0, settled.said
    assert story.versions() == before

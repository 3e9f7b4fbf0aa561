"""A Python that comes with the release: for a host that has none, or only an older one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import relocatable
import wheelhouse
from hosts.site import at_rest
from hosts.workspace import Workspace
from shipit.agent.protocol.manifest import PYTHONS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shipit.lab.lab import Lab

HOST = "web1"
# What `apt-get remove python3` takes away: moved, so that it can come back.
PARTS = "/usr/bin/python3* /usr/lib/python3*"
REMOVE = f"mkdir /root/removed && cp -a --parents {PARTS} /root/removed && rm -rf {PARTS}"
RESTORE = "cp -a /root/removed/usr / && rm -r /root/removed"
PATIENT = {"checks": [{"tcp": 8000}], "min_healthy": "90s", "deadline": "120s"}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return relocatable.write(tmp_path_factory.mktemp("mirror") / "20300101", is_whole=True)


@pytest.fixture(scope="module")
def workspace(lab: Lab, tmp_path_factory: pytest.TempPathFactory, archive: Path) -> Workspace:
    """Give one host that runs an app with a Python that came with the release."""
    lab.reset(HOST)
    made = Workspace.set(tmp_path_factory.mktemp("python"), lab, hosts=[HOST])
    made.env["SHIPIT_CACHE_DIR"] = str(made.folder / "cache")
    deployed(made, "1.0.0", archive)
    return made


@pytest.fixture
def without_python(workspace: Workspace) -> Iterator[Workspace]:
    workspace.sh(HOST, REMOVE)
    yield workspace
    workspace.sh(HOST, RESTORE)


def from_archive(archive: Path) -> dict[str, object]:
    pinned = {"path": str(archive), "sha256": wheelhouse.sha256(archive)}
    return {"version": relocatable.VERSION, "source": "bundle", "archives": [pinned]}


def deployed(workspace: Workspace, version: str, archive: Path) -> None:
    done = workspace.deploy(version, python=from_archive(archive))
    assert done.status == 0, done.output
    assert workspace.versions() == {HOST: version}


def folders(workspace: Workspace) -> list[str]:
    return workspace.sh(HOST, f"ls {PYTHONS}").split()


def test_services_run_the_python_of_the_release_which_is_roots(
    workspace: Workspace, archive: Path
) -> None:
    digest = wheelhouse.sha256(archive)
    assert sorted(folders(workspace)) == [digest, f"{digest}.json"]
    program = f"{PYTHONS}/{digest}/{relocatable.PROGRAM}"
    running = "readlink /proc/$(systemctl show -P MainPID tinyapp-worker.service)/exe"
    assert workspace.sh(HOST, running) == program
    odd = f"find {PYTHONS} ! -user root -o ! -group root -o -perm /6022 ! -type l"
    assert workspace.sh(HOST, odd) == ""
    plan = workspace.asked("plan")[HOST]
    assert plan["missing"] == []


def test_a_host_without_a_python_restarts_rolls_back_and_deploys(
    without_python: Workspace, archive: Path
) -> None:
    workspace = without_python
    workspace.sh(HOST, "! command -v python3 && systemctl restart tinyapp-web tinyapp-worker")
    assert workspace.versions() == {HOST: "1.0.0"}
    assert workspace.shipit("status").status == 0
    deployed(workspace, "1.1.0", archive)
    done = workspace.shipit("rollback")
    assert done.status == 0, done.output
    assert workspace.versions() == {HOST: "1.0.0"}
    at_rest(workspace.lab)
    assert len(folders(workspace)) == 2, "it is in use, and was unpacked once"


def test_such_a_host_settles_a_deploy_at_boot(without_python: Workspace, archive: Path) -> None:
    workspace, before = without_python, without_python.versions()
    workspace.wheel("1.2.0")
    workspace.playbook("1.2.0", python=from_archive(archive), health=PATIENT)
    workspace.deploy_and_lose_power(HOST)
    at_rest(workspace.lab)
    assert workspace.shipit("status").status == 0
    assert workspace.versions() == before


def test_a_touched_python_is_drift_and_is_sent_and_unpacked_anew(
    workspace: Workspace, archive: Path
) -> None:
    digest = wheelhouse.sha256(archive)
    module = f"{PYTHONS}/{digest}/lib/{relocatable.SHORT}/colorsys.py"
    workspace.sh(HOST, f"rm /var/lib/shipit/blobs/sha256/{digest}")  # as an hour later
    assert workspace.asked("plan")[HOST]["missing"] == [], "it is not needed any more"
    workspace.sh(HOST, f"echo 'raise SystemExit' >> {module}")
    found = workspace.asked("status")[HOST]["drifts"]
    assert [each["code"] for each in found] == ["interpreter-changed"]
    assert module in found[0]["what"]
    assert archive.name in workspace.asked("plan")[HOST]["missing"]
    deployed(workspace, workspace.versions()[HOST], archive)
    assert workspace.sh(HOST, f"grep -c SystemExit {module} || true") == "0"
    assert workspace.asked("status")[HOST]["drifts"] == []


def test_uv_fetches_it_a_bundle_brings_it_and_one_for_the_hosts_own_follows(
    workspace: Workspace, archive: Path
) -> None:
    workspace.env |= relocatable.mirror(workspace.folder, archive)
    site = workspace.folder / "site"
    site.mkdir()
    app = wheelhouse.tinyapp_wheel(workspace.wheels, "2.0.0")
    wheelhouse.write_lock(site / "requirements.txt", [app])
    (site / "pyproject.toml").write_text('[project]\nname = "tinysite"\nversion = "2.0"\n')
    python = {"version": ">=3.8", "source": "bundle"}
    more: dict[str, Any] = {"smoke": "tinyapp --version", "health": [{"tcp": 8000}]}
    workspace.playbook(project="site", wheel=None, lock=None, python=python, **more)
    built = workspace.shipit("build", "--json")
    assert built.status == 0, built.output
    (bundle,) = built.result["bundles"]
    done = workspace.shipit("deploy", "--bundle", bundle)
    assert done.status == 0, done.output
    exe = "readlink -f /opt/tinyapp/current/venv/bin/python"
    assert workspace.sh(HOST, exe).startswith(PYTHONS)
    workspace.playbook(project="site", wheel=None, lock=None, **more)
    done = workspace.shipit("deploy")
    assert (done.status, "own Python is used" in workspace.shipit("plan").output) == (0, False)
    assert workspace.sh(HOST, exe).startswith("/usr/bin/python3")

"""A host builds what this machine cannot: as its login user, and nothing is left there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hosts.workspace import PORT, Workspace
from tiny_backend import COMPILED, LIBRARY, write_project

if TYPE_CHECKING:
    from shipit.lab.lab import Lab

HOME = "ls -A /tmp ~deploy | grep -v ^systemd-private; id -u deploy"
SERVICES = {"web": {"command": f"python -m http.server {PORT}"}}
BUILT = "import shop_native as it; print(it.BUILT_BY, it.IN)"


@pytest.fixture(scope="module")
def workspace(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Give a host with the library that the app's build needs, which this machine lacks."""
    lab.reset("web1")
    made = Workspace.set(tmp_path_factory.mktemp("builder"), lab, hosts=["web1"])
    made.env["SHIPIT_CACHE_DIR"] = str(made.folder / "cache")
    project = write_project(made.folder / "shop", "shop")
    (project / COMPILED).write_text("")
    (project / "requirements.lock").write_text("")
    made.sh("web1", f"mkdir -p {LIBRARY}")
    made.playbook(
        app="shop",
        project="shop",
        wheel=None,
        lock=None,
        services=SERVICES,
        health=[{"tcp": PORT}],
        smoke=None,
    )
    return made


def test_without_a_builder_the_refusal_names_one(workspace: Workspace) -> None:
    done = workspace.shipit("deploy")
    assert (done.status, "[wrong-platform]" in done.output) == (2, True), done.output
    assert "--builder HOST" in done.output


def test_a_host_that_is_not_there_is_named_with_the_step(workspace: Workspace) -> None:
    done = workspace.shipit("deploy", "--builder", "nowhere.invalid")
    assert done.status == 2, done.output
    assert "cannot build shop on nowhere.invalid: connect: " in done.output


def test_the_wheel_is_built_there_as_the_login_user_and_deployed(workspace: Workspace) -> None:
    before = workspace.sh("web1", HOME)
    built = workspace.shipit("build", "--json", "--builder", "web1")
    assert built.status == 0, built.output
    done = workspace.shipit("deploy", "--builder", "web1")
    assert done.status == 0, done.output
    assert "building" not in done.output, "it is in the cache"
    user, folder = workspace.sh("web1", f"/opt/shop/current/venv/bin/python -c '{BUILT}'").split()
    assert user == before.split()[-1] != "0"
    assert folder.startswith("/tmp/shipit-build-")
    assert workspace.sh("web1", HOME) == before, "nothing is left"
    bundle = str(built.result["bundles"][0])
    again = workspace.shipit("deploy", "--bundle", bundle, "--json")
    assert again.result["hosts"]["web1"]["outcome"] == "unchanged", again.output


def test_a_build_that_fails_is_shown_and_leaves_nothing(workspace: Workspace) -> None:
    module = workspace.folder / "shop" / "tiny_backend.py"
    broken = f"if Path({str(LIBRARY)!r}).exists():\n    raise SystemExit('shop.c:1: error: no')\n"
    module.write_text(f"{module.read_text()}\n{broken}")
    before = workspace.sh("web1", HOME)
    done = workspace.shipit("deploy", "--builder", "web1")
    assert (done.status, "[builder-failed]" in done.output) == (2, True), done.output
    assert "shop.c:1: error: no" in done.output
    assert workspace.sh("web1", HOME) == before

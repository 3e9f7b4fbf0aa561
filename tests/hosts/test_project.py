"""A release that is built from a project: its files as they are, and its lock's wheels."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

import wheelhouse
from hosts.workspace import PORT, Workspace
from repositories import git

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.lab.lab import Lab

SERVICES = {"web": {"command": "tinyapp", "socket": PORT, "stop_timeout": "5s"}}


@pytest.fixture(scope="module")
def workspace(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Give one host, and a project in git that has no build system."""
    lab.reset("web1")
    made = Workspace.set(tmp_path_factory.mktemp("project"), lab, hosts=["web1"])
    made.env["SHIPIT_CACHE_DIR"] = str(made.folder / "cache")
    tinyapp = wheelhouse.tinyapp_wheel(made.wheels)
    site = made.folder / "site"
    (site / "mysite").mkdir(parents=True)
    wheelhouse.write_lock(site / "requirements.txt", [tinyapp])
    (site / "manage.py").write_text("#!/usr/bin/env python\nimport mysite\nprint(mysite.NAME)\n")
    (site / "manage.py").chmod(0o755)
    git(site, "init", "-q")
    committed(site, "1")
    (site / ".env").write_text("PASSWORD=untracked\n")
    return made


def committed(site: Path, name: str) -> None:
    (site / "mysite" / "__init__.py").write_text(f"NAME = {name!r}\n")
    git(site, "add", "manage.py", "mysite", "requirements.txt")
    git(site, "commit", "-q", "-m", name)


def deployed(workspace: Workspace, *words: str) -> str:
    workspace.playbook(
        project="site",
        wheel=None,
        lock=None,
        services=SERVICES,
        health=[{"tcp": PORT}],
        smoke="python -c 'import mysite'",
    )
    done = workspace.shipit("deploy", *words)
    assert done.status == 0, done.output
    return done.output


def served(workspace: Workspace, path: str) -> object:
    return workspace.serves("web1", f"/file?path={path}").get("text")


def test_a_project_without_a_build_system_is_served_as_it_is_in_git(workspace: Workspace) -> None:
    first = deployed(workspace)
    assert "not shipped, as git does not track them: .env" in first
    assert served(workspace, "mysite/__init__.py") == "NAME = '1'\n"
    assert served(workspace, ".env") is None
    release = workspace.sh("web1", "readlink -f /opt/tinyapp/current").strip()
    program = f"{release}/venv/bin/python {release}/venv/app/manage.py"
    assert workspace.sh("web1", f"runuser -u tinyapp -- {program}").strip() == "1"
    mode = workspace.sh("web1", f"stat -c '%U %a' {release}/venv/app/manage.py")
    assert mode.strip() == "root 755"

    assert "unchanged" in deployed(workspace)
    committed(workspace.folder / "site", "2")
    deployed(workspace)
    assert served(workspace, "mysite/__init__.py") == "NAME = '2'\n"
    assert workspace.shipit("status").status == 0
    assert workspace.shipit("rollback").status == 0
    assert served(workspace, "mysite/__init__.py") == "NAME = '1'\n"


def test_what_a_host_has_is_not_sent_again(workspace: Workspace) -> None:
    committed(workspace.folder / "site", "2.1")  # 2 is held since its rollback
    deployed(workspace)
    committed(workspace.folder / "site", "2.2")
    for cache in ("kept", "new"):
        if cache == "new":  # as in CI
            shutil.rmtree(workspace.folder / "cache")
        plan = workspace.asked("plan")["web1"]
        assert [name for name in plan["missing"] if not name.startswith("tinyapp_project")] == []
        assert len(plan["missing"]) == 1


def test_the_same_bundle_is_shipped_instead_of_a_build(workspace: Workspace) -> None:
    committed(workspace.folder / "site", "3")
    deployed(workspace)
    built = workspace.shipit("build", "--json")
    assert built.status == 0, built.output
    (bundle,) = built.result["bundles"]
    assert bundle.endswith("-linux-x86_64-gnu2.36-cp311.shipit")
    release = workspace.sh("web1", "readlink /opt/tinyapp/current")
    done = workspace.shipit("deploy", "--bundle", bundle, "--json")
    assert done.result["hosts"]["web1"]["outcome"] == "unchanged", "the same bytes"
    committed(workspace.folder / "site", "4")
    deployed(workspace)
    assert workspace.shipit("deploy", "--bundle", bundle, "--allow-older").status == 0
    assert workspace.sh("web1", "readlink /opt/tinyapp/current") == release
    refused = workspace.shipit("deploy", "--bundle", f"{bundle}#sha256={'0' * 64}")
    assert (refused.status, "[wrong-hash]" in refused.output) == (2, True)

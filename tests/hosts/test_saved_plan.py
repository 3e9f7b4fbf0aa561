"""A plan that somebody has agreed to, and hosts that have changed since."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hosts.workspace import SECRET, Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.lab.lab import Lab

HOSTS = ("web1", "web2")


@pytest.fixture
def workspace(lab: Lab, tmp_path: Path) -> Workspace:
    """Give hosts that serve 1.0.0."""
    workspace = Workspace.set(tmp_path, lab)
    workspace.begin(*HOSTS)
    return workspace


def test_a_plan_is_deployed_as_it_is_or_not_at_all(workspace: Workspace) -> None:
    assert workspace.shipit("plan", "--detailed-exitcode").status == 0
    workspace.wheel("1.1.0")
    workspace.playbook("1.1.0", max_failures=2)
    done = workspace.shipit("plan", "--detailed-exitcode", "--out", "prod.plan")
    assert done.status == 6
    assert SECRET not in (workspace.folder / "prod.plan").read_text()
    # A host changes: somebody deploys another version to it.
    workspace.wheel("1.0.5")
    workspace.playbook("1.0.5")
    assert workspace.shipit("deploy", "-l", "web2").status == 0
    workspace.playbook("1.1.0", max_failures=2)
    done = workspace.shipit("deploy", "--json", "--plan", "prod.plan")
    assert done.status == 3
    problems = {host: it["problem"] for host, it in done.result["hosts"].items()}
    assert {each["code"] for each in problems.values()} == {"plan-changed"}
    assert "it runs 1.0.5-" in problems["web2"]["what"]
    assert "on web2:" in problems["web1"]["what"]
    assert workspace.versions() == {"web1": "1.0.0", "web2": "1.0.5"}
    # What would be deployed has changed.
    assert workspace.shipit("plan", "--out", "prod.plan").status == 0
    workspace.playbook("1.1.0", env={"GREETING": "good morning"})
    done = workspace.shipit("deploy", "--plan", "prod.plan")
    assert done.status == 3
    assert "would get other variables: " in done.output
    assert "changed web: GREETING" in done.output
    # A part of the plan is not the plan.
    workspace.playbook("1.1.0", max_failures=2)
    assert workspace.shipit("deploy", "--plan", "prod.plan", "-l", "web1").status == 2
    done = workspace.shipit("deploy", "--plan", "prod.plan")
    assert done.status == 0, done.output
    assert workspace.versions() == dict.fromkeys(HOSTS, "1.1.0")

"""An older build does not replace a newer one unless it is asked to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from hosts.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.lab.lab import Lab


def test_an_older_version_is_refused_and_may_be_allowed(fresh_web1: Lab, tmp_path: Path) -> None:
    workspace = Workspace.set(tmp_path, fresh_web1, ["web1"])
    for version in ("1.9.0", "1.10.0"):
        done = workspace.deploy(version)
        assert done.status == 0, done.output
    refused = workspace.deploy("1.9.0", "--json")
    assert refused.status == 3, refused.output
    assert {line["problem"]["code"] for line in refused.reported("host-failed")} == {
        "older-release"
    }
    assert set(workspace.versions().values()) == {"1.10.0"}
    assert workspace.shipit("rollback").status == 0
    assert set(workspace.versions().values()) == {"1.9.0"}
    assert workspace.deploy("1.8.0", "--allow-older").status == 0
    assert set(workspace.versions().values()) == {"1.8.0"}


def test_a_deploy_to_one_host_is_rolled_back_with_all_hosts(fresh: Lab, tmp_path: Path) -> None:
    """Units that are rendered for each host give each its own ids."""
    workspace = Workspace.set(tmp_path, fresh)
    own = {"GREETING": "hello {{ inventory_hostname }}"}
    assert workspace.deploy("1.0.0", env=own).status == 0
    assert workspace.deploy("1.1.0", "-l", "web1", env=own).status == 0
    assert workspace.versions() == {"web1": "1.1.0", "web2": "1.0.0"}
    back = workspace.shipit("rollback", "--json")
    assert back.status == 0, back.output
    outcomes = {name: it["outcome"] for name, it in back.result["hosts"].items()}
    assert outcomes == {"web1": "committed", "web2": "unchanged"}
    assert workspace.versions() == {"web1": "1.0.0", "web2": "1.0.0"}

    assert workspace.deploy("1.0.0", env={**own, "MORE": "1"}).status == 0
    twice = workspace.shipit("rollback", "--json", "--to", "1.0.0")
    assert twice.status == 3, twice.output
    problems = [line["problem"] for line in twice.reported("host-failed")]
    assert [problem["code"] for problem in problems] == ["ambiguous-release"] * 2
    lines = workspace.asked("releases")["web1"]["releases"]
    [first] = [it["id"] for it in lines if it["version"] == "1.0.0" and not it["running"]]
    assert all("--to 1.0.0-" in problem["hint"] for problem in problems)
    assert workspace.shipit("rollback", "--to", first).status == 0


def test_one_machine_under_two_names_is_reported_as_that(fresh: Lab, tmp_path: Path) -> None:
    workspace = Workspace.set(tmp_path, fresh)
    made = yaml.safe_load(fresh.inventory({"web": ["web1", "twin"]}))
    made["all"]["hosts"]["twin"] = made["all"]["hosts"]["web1"]
    workspace.inventory([], yaml.safe_dump(made))
    refused = workspace.deploy("1.0.0", "--json")
    assert refused.status == 3, refused.output
    problems = {
        it["problem"]["host"]: it["problem"]["code"] for it in refused.reported("host-failed")
    }
    assert problems == {"web1": "same-machine", "twin": "same-machine"}
    assert workspace.sh("web1", "cat /etc/machine-id") not in refused.output
    assert workspace.sh("web1", "ls /opt") == ""

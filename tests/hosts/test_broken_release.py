"""Releases that are broken in one way each: a host returns by itself, and says why.

How all hosts return because of one is in test_several_hosts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hosts.workspace import PORT, Workspace

if TYPE_CHECKING:
    from shipit.lab.lab import Lab

HOST = "web1"
SICK = "/run/sick"
HTTP = [{"http": f"http://127.0.0.1:{PORT}/healthz", "timeout": "1s"}]


@pytest.fixture(scope="module")
def deployed(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Give a host that serves 1.0.0; each test here leaves it so."""
    workspace = Workspace.set(tmp_path_factory.mktemp("broken"), lab, [HOST])
    workspace.begin(HOST)
    return workspace


@pytest.mark.parametrize(
    ("fault", "health", "code", "words"),
    [
        (
            "start",
            {"checks": HTTP},
            "unit-failed",
            ["tinyapp-web.service", "tinyapp: broken at start, as asked"],
        ),
        (
            "late:1",
            {"checks": HTTP, "min_healthy": "20s"},
            "unit-failed",
            ["tinyapp-web.service", "tinyapp: dying as asked", "status=3"],
        ),
        (
            "slow:60",
            {"checks": HTTP, "deadline": "2s"},
            "check-failed",
            [f"http://127.0.0.1:{PORT}/healthz", "no answer", "tinyapp-web.service"],
        ),
    ],
)
def test_a_broken_release_is_rolled_back_with_the_reason(
    deployed: Workspace, fault: str, health: dict[str, object], code: str, words: list[str]
) -> None:
    before = deployed.asked("status")
    done = deployed.deploy("2.0.0", "--json", fault=fault, health=health)
    assert done.status == 4, done.output
    assert done.result["outcome"] == "rolled_back"
    after, history = deployed.asked("status"), deployed.asked("releases")
    result = done.result["hosts"][HOST]
    reported = f"{result['problem']['what']}\n{result['problem']['evidence']}"
    assert (result["outcome"], result["problem"]["code"]) == ("rolled_back", code)
    assert [word for word in words if word not in reported] == [], reported
    seen, newest = after[HOST], history[HOST]["releases"][-1]
    assert seen["release"] == result["release"] == before[HOST]["release"]
    assert (seen["drift"], seen["stuck"], seen["holder"]) == ([], "", None)
    assert (newest["version"], newest["outcome"]) == ("2.0.0", "rolled_back")
    assert deployed.versions() == {HOST: "1.0.0"}


def test_a_broken_worker_rolls_the_web_service_back_too(deployed: Workspace) -> None:
    services = {
        "web": {"command": "tinyapp", "socket": PORT, "handover": "restart"},
        "worker": {"command": "/bin/false"},
    }
    done = deployed.deploy("2.1.0", services=services)
    assert done.status == 4, done.output
    assert "tinyapp-worker.service" in done.output
    assert deployed.versions() == {HOST: "1.0.0"}
    active = deployed.sh(HOST, "systemctl is-active tinyapp-worker tinyapp-nightly.timer")
    assert active.split() == ["active", "active"]


def test_a_failure_is_reported_with_the_rollback_and_a_hint(
    deployed: Workspace,
) -> None:
    done = deployed.deploy("2.2.0", fault="start", health={"checks": HTTP})
    assert done.status == 4
    for words in (
        "web1: tinyapp-web.service",
        "rolled back to its previous release",
        "failed after the switch; every host is rolled back to its previous release",
        "journalctl -u tinyapp-web.service",
        "next: ",
    ):
        assert words in done.output


def test_a_fixed_release_can_be_deployed_after_it_failed(deployed: Workspace) -> None:
    assert deployed.deploy("2.3.0", fault="start", health={"min_healthy": "20s"}).status == 4
    good = deployed.deploy("2.3.0")
    assert good.status == 0, good.output
    assert deployed.versions() == {HOST: "2.3.0"}
    assert deployed.shipit("rollback").status == 0
    assert deployed.versions() == {HOST: "1.0.0"}


def test_a_host_whose_old_release_is_unhealthy_takes_a_healthy_one(
    deployed: Workspace,
) -> None:
    # Its worker can't start again: that is reported at once, where a check is waited for.
    services = {
        "web": {"command": "tinyapp", "socket": PORT, "handover": "restart"},
        "worker": {"command": f"/bin/sh -c 'test ! -e {SICK} && exec sleep infinity'"},
    }
    health = {"checks": HTTP}
    unhealthy: dict[str, Any] = {"services": services, "health": health}
    assert deployed.deploy("3.0.0", **unhealthy).status == 0
    deployed.sh(HOST, f"touch {SICK}")
    stuck = deployed.deploy("3.1.0", "--json", **unhealthy)
    ends = {name: host["outcome"] for name, host in stuck.result["hosts"].items()}
    assert (stuck.status, ends) == (5, {HOST: "stuck"}), stuck.output
    reported = deployed.asked("status")[HOST]["stuck"]
    assert "a new release is accepted in any case" in reported
    done = deployed.deploy("3.2.0", health=health)
    assert done.status == 0, done.output
    assert deployed.versions() == {HOST: "3.2.0"}
    assert [host["stuck"] for host in deployed.asked("status").values()] == [""]

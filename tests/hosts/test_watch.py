"""After its commit a host goes on checking its release, by itself, and after each boot as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hosts.workspace import PORT, Workspace
from patience import until

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.lab.lab import Lab

HOSTS = ("web1", "web2")
UNIT = "shipit-watch@tinyapp.service"
ILL = "/etc/ill"  # a release of the tests is not healthy where this file is
PATIENCE = 120.0  # seconds
HEALTH = {
    "checks": [
        {"http": f"http://127.0.0.1:{PORT}/healthz"},
        {"command": f"/usr/bin/test ! -e {ILL}"},
    ],
    "deadline": "5s",
    "min_healthy": "100ms",
}


@pytest.fixture
def workspace(lab: Lab, tmp_path: Path) -> Workspace:
    """Give hosts that serve 1.0.0, which is not watched."""
    workspace = Workspace.set(tmp_path, lab)
    workspace.begin(*HOSTS)
    return workspace


def deploy(workspace: Workspace, **watch: object) -> str:
    """Deploy a release that is watched; return the output."""
    done = workspace.deploy("1.1.0", watch={"every": "1s", **watch}, health=HEALTH)
    assert done.status == 0, done.output
    return done.output


def found(workspace: Workspace, host: str) -> dict[str, Any]:
    """Return what a host's watch has found; empty for nothing."""
    state = workspace.asked("status", "-l", host)[host]["watch"]
    return (state and state["found"]) or {}


def await_serving(workspace: Workspace, host: str, version: str) -> None:
    def evidence() -> str:
        log = workspace.sh(host, f"journalctl -u {UNIT} -u shipit-tinyapp -n 30 --no-pager")
        return f"{workspace.serves(host)}; {log}"

    until(lambda: workspace.serves(host).get("version") == version, evidence, PATIENCE)


def test_a_release_that_turns_bad_is_reported_and_when_it_is_good_again(
    workspace: Workspace,
) -> None:
    assert "the hosts go on watching it for 10m" in deploy(workspace, **{"for": "10m"})
    workspace.sh("web1", f"systemctl kill -s KILL {UNIT}; touch {ILL}")
    until(lambda: bool(found(workspace, "web1")), lambda: "nothing is found", PATIENCE)
    done = workspace.shipit("status")
    assert done.status == 5
    assert "watched until" in done.out
    assert f"command /usr/bin/test ! -e {ILL}: expected exit status 0, got 1" in done.out
    assert "web1: it is only reported" in done.out
    assert found(workspace, "web2") == {}
    assert workspace.versions() == dict.fromkeys(HOSTS, "1.1.0")
    workspace.sh("web1", f"rm {ILL}")
    until(lambda: bool(found(workspace, "web1")["until"]), lambda: "it is not over", PATIENCE)
    assert workspace.shipit("status").status == 0


def test_a_host_rolls_back_by_itself_once_and_holds_the_release(workspace: Workspace) -> None:
    deploy(workspace, **{"for": "10m", "on_failure": "rollback"})
    workspace.sh("web1", f"touch {ILL}")
    await_serving(workspace, "web1", "1.0.0")
    until(lambda: found_no_unit(workspace), lambda: "the watch is still there", PATIENCE)
    newest = workspace.asked("releases", "-l", "web1")["web1"]["attempts"][-1]
    assert (newest["what"], newest["outcome"]) == ("rollback", "committed")
    assert newest["who"] == "the host's watch"
    assert "expected exit status 0, got 1" in newest["reason"]
    done = workspace.shipit("status")
    assert done.status == 5
    assert "web1: rolled back by the host: 1.1.0-" in done.out
    done = workspace.shipit("deploy", "--json")
    assert (done.status, "release-held" in done.output) == (3, True)
    assert workspace.serves("web2")["version"] == "1.1.0"


def found_no_unit(workspace: Workspace) -> bool:
    """Whether nothing is left of the watch: the release that runs now has none."""
    there = f"ls /etc/systemd/system/{UNIT} /var/lib/shipit/watch/tinyapp.* || true"
    active = f"systemctl is-active {UNIT} shipit-tinyapp.service || true"
    return workspace.sh("web1", f"({there}) 2>/dev/null; {active}").split() == ["inactive"] * 2


def test_a_release_that_does_not_come_up_after_a_power_cut_is_reported_or_rolled_back(
    workspace: Workspace,
) -> None:
    workspace.variables(web1={"wanted": "rollback"})
    deploy(workspace, **{"for": "0s", "at_boot": "{{ wanted | default('report') }}"})
    for host in HOSTS:
        workspace.sh(host, f"touch {ILL} && sync {ILL}")
        workspace.lab.power_cut(host)
        workspace.lab.boot(host)
    await_serving(workspace, "web1", "1.0.0")
    until(lambda: bool(found(workspace, "web2")), lambda: "nothing is found", PATIENCE)
    assert found(workspace, "web2")["at_boot"]
    assert workspace.serves("web2")["version"] == "1.1.0"
    done = workspace.shipit("status", "-l", "web2")
    assert done.status == 5
    assert "after a boot: " in done.out
    workspace.sh("web2", f"rm {ILL} && systemctl restart {UNIT}")
    assert workspace.sh("web2", f"systemctl is-enabled {UNIT}") == "enabled"

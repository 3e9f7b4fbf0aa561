"""What was rolled back is not deployed again by the next job, and operators can hold deploys."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from hosts.workspace import PORT, Workspace, all_in, ended, heard, stopped
from patience import until

if TYPE_CHECKING:
    from pathlib import Path

    from hosts.workspace import Done
    from shipit.lab.lab import Lab

HOSTS = ("web1", "web2")
FAULT = {"TINYAPP_FAULT": "{{ fault | default('') }}"}
DEAD = {"fault": "start"}


@pytest.fixture
def workspace(lab: Lab, tmp_path: Path) -> Workspace:
    """Give hosts that serve 1.0.0."""
    workspace = Workspace.set(tmp_path, lab)
    workspace.begin(*HOSTS)
    return workspace


def boottime(workspace: Workspace) -> float:
    """Return a host's clock, by which leases end."""
    return float(workspace.sh("web1", "cut -d' ' -f1 /proc/uptime"))


def codes(done: Done) -> dict[str, str]:
    return {host: it["problem"]["code"] for host, it in done.result["hosts"].items()}


def held(workspace: Workspace) -> dict[str, list[str]]:
    """Return the releases that each host holds, "" for all of the app."""
    found = workspace.asked("status")
    return {host: [hold["release"] for hold in it["holds"]] for host, it in found.items()}


def refused(workspace: Workspace, *words: str) -> dict[str, Any]:
    """Deploy in vain: nothing is staged. Return the codes of the hosts' problems."""
    done = workspace.shipit("deploy", "--json", *words)
    assert done.status == 3, done.output
    assert [line for line in done.reported("step-began") if line["step"] != "connect"] == []
    return codes(done)


def test_a_release_that_failed_is_held_on_every_host_until_that_is_overridden(
    workspace: Workspace,
) -> None:
    workspace.variables(web2=DEAD)
    done = workspace.deploy("1.1.0", "--json", serial=1, env=FAULT)
    assert done.status == 4
    assert codes(done)["web2"] == "unit-failed"
    (on_web1,), (on_web2,) = held(workspace).values()
    assert on_web1.startswith("1.1.0-")
    assert on_web2.startswith("1.1.0-")
    # As a job does it again.
    assert refused(workspace) == dict.fromkeys(HOSTS, "release-held")
    assert refused(workspace, "--limit", "web1") == {"web1": "release-held"}
    assert workspace.shipit("plan").status == 3
    # With other settings it is still the same version with the same wheels.
    workspace.variables()
    assert refused(workspace)["web2"] == "release-held"
    assert workspace.shipit("deploy", "--override-hold").status == 2
    why = "the database was away"
    done = workspace.shipit("deploy", "--json", "--override-hold", "-m", why)
    assert done.status == 0, done.output
    # The broken settings stay held.
    assert held(workspace) == {"web1": [], "web2": [on_web2]}
    newest = workspace.asked("releases")["web2"]["attempts"][-1]
    assert (newest["reason"], newest["overrides"]) == (why, ["hold"])


def test_an_operators_rollback_holds_what_it_leaves_and_not_the_next_version(
    workspace: Workspace,
) -> None:
    assert workspace.deploy("1.1.0").status == 0
    assert workspace.shipit("rollback", "-m", "invoices are wrong").status == 0
    assert refused(workspace, "--allow-older") == dict.fromkeys(HOSTS, "release-held")
    (hold,) = workspace.asked("status")["web1"]["holds"]
    assert "invoices are wrong" in hold["why"]
    assert workspace.deploy("1.2.0").status == 0
    assert [len(each) for each in held(workspace).values()] == [1, 1]
    workspace.playbook("1.1.0")
    assert refused(workspace, "--allow-older") == dict.fromkeys(HOSTS, "release-held")
    assert workspace.shipit("unhold", "-m", "they are right").status == 0
    assert workspace.shipit("deploy", "--allow-older").status == 0


def test_a_dead_controller_and_a_limit_that_allows_it_hold_nothing(workspace: Workspace) -> None:
    workspace.variables(web2=DEAD)
    done = workspace.deploy("1.1.0", "--json", env=FAULT, max_failures=1)
    assert done.status == 5
    assert held(workspace) == {"web1": [], "web2": []}  # the fleet has accepted it
    workspace.variables()
    assert workspace.shipit("deploy").status == 0
    assert workspace.versions() == dict.fromkeys(HOSTS, "1.1.0")


def test_a_held_app_refuses_deploys_from_anywhere_and_no_rollback(workspace: Workspace) -> None:
    assert workspace.deploy("1.1.0").status == 0
    # web2 does not learn of it: one host that holds it is enough.
    done = workspace.shipit("hold", "-m", "moving the database", "--until", "2h", "-l", "web1")
    assert done.status == 0
    assert "held: deploys of this app until" in done.out
    workspace.wheel("1.2.0")
    workspace.playbook("1.2.0", max_failures=2)
    done = workspace.shipit("deploy", "--json")
    assert (done.status, codes(done)) == (3, dict.fromkeys(HOSTS, "app-held"))
    problem = done.result["hosts"]["web2"]["problem"]
    assert "on web1:" in problem["what"]
    assert "moving the database" in problem["what"]
    assert "unhold" in problem["hint"]
    assert workspace.sh("web1", "stat -c '%U %a' /var/lib/shipit/controls/tinyapp.jsonl") == (
        "root 600"
    )
    assert workspace.shipit("rollback").status == 0
    assert workspace.shipit("unhold", "-m", "done").status == 0
    assert workspace.shipit("deploy").status == 0


def test_a_freeze_window_refuses_a_deploy_and_no_rollback(workspace: Workspace) -> None:
    assert workspace.deploy("1.1.0").status == 0
    always = [{"when": "2020-01-01 00:00..2999-01-01 00:00", "timezone": "UTC", "reason": "audit"}]
    done = workspace.deploy("1.2.0", freeze=always)
    assert done.status == 3
    assert "are frozen until Tue 2999-01-01 00:00 UTC: audit [frozen]" in done.output
    assert "frozen until" in workspace.shipit("plan", "-l", "web1").out
    assert workspace.shipit("rollback", "-l", "web2").status == 0
    done = workspace.shipit("deploy", "-l", "web1", "--override-freeze", "-m", "a leak")
    assert done.status == 0, done.output
    newest = workspace.asked("releases", "-l", "web1")["web1"]["attempts"][-1]
    assert (newest["reason"], newest["overrides"]) == ("a leak", ["freeze"])


def test_a_paused_deploy_waits_before_its_next_batch_and_is_resumed(workspace: Workspace) -> None:
    assert workspace.shipit("pause").status == 3  # none runs
    workspace.wheel("1.1.0")
    # A gate that lasts longer than it takes to pause.
    health = {"checks": [{"tcp": PORT}], "min_healthy": "10s", "deadline": "60s"}
    workspace.playbook("1.1.0", serial=1, confirm_timeout="5s", health=health)
    deploying = workspace.start("deploy", "--json")
    try:
        lines = heard(deploying, all_in("check", ["web1"]))
        done = workspace.shipit("pause", "-m", "errors on web1")
        assert done.status == 0
        assert "paused by" in done.out
        lines += heard(deploying, lambda it: "paused before the next batch" in it.get("text", ""))
        lease = json.loads(workspace.sh("web1", "cat /var/lib/shipit/txn/tinyapp.lease"))
        until(lambda: boottime(workspace) > lease["deadline"], lease.__str__, 60)
        assert workspace.versions() == {"web1": "1.1.0", "web2": "1.0.0"}
        paused = {host: it["pause"] for host, it in workspace.asked("status").items()}
        assert paused["web1"] is None, "it is switched already"
        assert paused["web2"]["why"] == "errors on web1"
        done = workspace.shipit("resume")
        assert done.status == 0
        assert "the deploy goes on" in done.out
        finished = ended(deploying, lines)
    finally:
        stopped(deploying)
    assert finished.status == 0, finished.output
    assert workspace.versions() == dict.fromkeys(HOSTS, "1.1.0")


def test_a_deploy_of_one_batch_is_paused_before_it_and_not_after(workspace: Workspace) -> None:
    workspace.wheel("1.1.0")
    hooks = [
        {"when": when, "command": "sh -c 'until test -e /tmp/go-on; do sleep 0.1; done'"}
        for when in ("staged", "after_activate")
    ]
    workspace.playbook("1.1.0", hooks=hooks)
    go_on, wait = "touch /tmp/go-on", "rm -f /tmp/go-on"
    deploying = workspace.start("deploy", "--json")
    try:
        lines = heard(deploying, all_in("hook", HOSTS))
        assert workspace.shipit("pause", "-m", "errors").status == 0
        for host in HOSTS:
            workspace.sh(host, go_on)
        lines += heard(deploying, lambda it: "paused before the next batch" in it.get("text", ""))
        assert workspace.versions() == dict.fromkeys(HOSTS, "1.0.0")
        for host in HOSTS:
            workspace.sh(host, wait)
        assert workspace.shipit("resume").status == 0
        lines += heard(deploying, all_in("hook", HOSTS))
        late = workspace.shipit("pause", "-m", "errors")
        assert late.status == 3
        assert "nothing to pause" in late.out
        for host in HOSTS:
            workspace.sh(host, go_on)
        finished = ended(deploying, lines)
    finally:
        stopped(deploying)
    assert finished.status == 0, finished.output
    assert workspace.versions() == dict.fromkeys(HOSTS, "1.1.0")


def test_a_deploy_after_one_that_stopped_half_way_leaves_alone_what_is_done(
    workspace: Workspace,
) -> None:
    workspace.variables(web2=DEAD)
    assert workspace.deploy("1.1.0", env=FAULT, max_failures=1).status == 5
    before = workspace.asked("status")["web1"]["units"]
    workspace.variables()
    done = workspace.shipit("deploy", "--json", "--limit", "all")
    assert {host: it["outcome"] for host, it in done.result["hosts"].items()} == {
        "web1": "unchanged",
        "web2": "committed",
    }
    assert [line["hosts"] for line in done.reported("batch-began")] == [["web2"]]
    assert workspace.asked("status")["web1"]["units"] == before

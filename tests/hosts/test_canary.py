"""A canary is held on real hosts: promoted, failed, aborted, and observed by a server that is down.

`make fleet` (FLEET=whole) rolls a release out to twelve hosts, one of them bad in each phase.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from hosts.workspace import Done, Workspace, ended, heard, stopped
from marks import left_out_unless
from shipit.lab.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hosts.workspace import Process

HOSTS = ("web1", "web2", "web3")
OLD, NEW = dict.fromkeys(HOSTS, "1.0.0"), dict.fromkeys(HOSTS, "1.1.0")
CANARY_ALONE = {**OLD, "web1": "1.1.0"}
IS_WHOLE = os.environ.get("FLEET") == "whole"


@pytest.fixture(scope="module")
def hosts(lab_machine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab.up(HOSTS, tmp_path_factory.mktemp("lab"), timeout=300) as lab:
        yield lab


@pytest.fixture
def workspace(hosts: Lab, tmp_path: Path) -> Workspace:
    """Give hosts that serve 1.0.0."""
    workspace = Workspace.set(tmp_path, hosts, HOSTS)
    workspace.begin(*HOSTS)
    return workspace


def check(workspace: Workspace, script: str) -> dict[str, Any]:
    """Return a check that runs this line of shell."""
    path = workspace.folder / "check.sh"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return {"command": "./check.sh", "name": "errors", "interval": "500ms"}


def held(workspace: Workspace, **canary: object) -> tuple[Process, list[str]]:
    """Start to deploy 1.1.0, and return once its canary is held."""
    workspace.wheel("1.1.0")
    workspace.playbook("1.1.0", canary=canary, confirm_timeout="5s")
    deploying = workspace.start("deploy", "--json")
    return deploying, heard(deploying, lambda it: it["event"] == "canary-held")


def outcomes(done: Done) -> dict[str, str]:
    return {host: it["outcome"] for host, it in done.result["hosts"].items()}


def test_a_canary_whose_checks_pass_is_followed_by_the_other_hosts(workspace: Workspace) -> None:
    assert workspace.shipit("promote").status == 3  # nothing runs
    gate = workspace.folder / "gate"
    # It does not know until the test has looked.
    passes = check(workspace, f"echo asked; test -e {gate} || exit 3")
    deploying, lines = held(workspace, hosts="web1", hold="1s", checks=[passes])
    try:
        assert workspace.versions() == CANARY_ALONE
        canaries = {host: it["canary"] for host, it in workspace.asked("status").items()}
        assert [host for host, canary in canaries.items() if canary] == ["web1"]
        assert "web1: canary, held since" in workspace.shipit("status").out
        assert workspace.shipit("promote", "-l", "web2").status == 3  # it is no canary
        gate.touch()
        lines += heard(deploying, lambda it: it["event"] == "canary-ended")
        done = ended(deploying, lines)
    finally:
        stopped(deploying)
    assert done.status == 0, done.output
    assert workspace.versions() == NEW
    checked = [line["outcome"] for line in done.reported("canary-checked")]
    assert checked[-1] == "pass"
    assert "fail" not in checked
    assert [line["hosts"] for line in done.reported("batch-began")] == [["web1"], ["web2", "web3"]]
    assert done.result["runs"][0]["mixed_seconds"] > 1
    assert workspace.shipit("abort", "-m", "late").status == 3
    assert workspace.shipit("pause").status == 3


def test_a_check_that_fails_rolls_back_the_canary_alone_and_holds_the_release(
    workspace: Workspace,
) -> None:
    before = workspace.asked("status")
    fails = check(workspace, 'echo "5 % errors on $SHIPIT_CANARY, not on $SHIPIT_OTHERS"; exit 1')
    workspace.wheel("1.1.0")
    workspace.playbook("1.1.0", canary={"hosts": 1, "hold": "10m", "checks": [fails]})
    done = workspace.shipit("deploy", "--json")
    assert done.status == 4, done.output
    assert outcomes(done) == {"web1": "rolled_back", "web2": "discarded", "web3": "discarded"}
    assert workspace.versions() == OLD
    why = "the canary check errors failed: 5 % errors on web1, not on web2 web3"
    assert {it["because"] for it in done.result["hosts"].values()} == {why}
    after = workspace.asked("status")
    assert all(after[host]["units"] == before[host]["units"] for host in HOSTS[1:])
    newest = workspace.asked("releases")["web1"]["attempts"][-1]
    assert newest["failure"].startswith("[canary-aborted]")
    assert why in newest["failure"]
    assert [len(after[host]["holds"]) for host in HOSTS] == [1, 1, 1]
    again = workspace.shipit("deploy", "--json")
    assert {it["problem"]["code"] for it in again.result["hosts"].values()} == {"release-held"}


def test_a_metrics_server_that_is_down_reverts_nothing_until_an_operator_decides(
    workspace: Workspace,
) -> None:
    query = {"prometheus": "http://127.0.0.1:9", "query": "errors", "max": 1, "interval": "500ms"}
    deploying, lines = held(workspace, hosts=1, hold="7s", checks=[query])  # the lease has 5 s
    try:
        lines += heard(deploying, lambda it: "have not passed" in it.get("text", ""))
        assert workspace.versions() == CANARY_ALONE
        promoted = workspace.shipit("promote", "-m", "errors are low")
        assert promoted.status == 0, promoted.output
        assert "web1: canary promoted by" in promoted.out
        done = ended(deploying, lines)
    finally:
        stopped(deploying)
    assert done.status == 0, done.output
    (checked,) = done.reported("canary-checked")
    assert checked["outcome"] == "error"
    (end,) = done.reported("canary-ended")
    assert end["why"].endswith(": errors are low")
    assert workspace.versions() == NEW


def test_an_operator_aborts_a_canary_from_another_process(workspace: Workspace) -> None:
    deploying, lines = held(workspace, hosts=["web1"], hold="10m")
    try:
        assert workspace.shipit("abort").status == 2  # it needs a reason
        aborted = workspace.shipit("abort", "-m", "orders are lost")
        assert aborted.status == 0, aborted.output
        done = ended(deploying, lines)
    finally:
        stopped(deploying)
    assert done.status == 4, done.output
    assert workspace.versions() == OLD
    assert outcomes(done) == {"web1": "rolled_back", "web2": "discarded", "web3": "discarded"}
    assert done.result["hosts"]["web1"]["because"].endswith(": orders are lost")
    newest = workspace.asked("releases")["web1"]["attempts"][-1]
    assert "orders are lost" in newest["failure"]
    assert [len(it["holds"]) for it in workspace.asked("status").values()] == [1, 1, 1]


# --- a fleet -----------------------------------------------------------------------------------

FLEET = tuple(f"web{number:02}" for number in range(1, 13))
# The bad host of each phase, and the sizes of the batches that are begun.
PHASES = {
    "staging": ("web06", []),
    "canary": ("web01", [1]),
    "quarter": ("web03", [1, 2]),
    "rest": ("web12", [1, 2, 9]),
}


@pytest.fixture(scope="module")
def fleet(lab_machine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    with Lab.up(FLEET, tmp_path_factory.mktemp("fleet"), timeout=900) as lab:
        workspace = Workspace.set(tmp_path_factory.mktemp("project"), lab, FLEET)
        workspace.begin(*FLEET)
        yield workspace


@left_out_unless(IS_WHOLE, "fleet")
@pytest.mark.parametrize("phase", PHASES)
def test_of_twelve_hosts_one_bad_one_rolls_back_every_host_and_is_named(
    fleet: Workspace, phase: str
) -> None:
    bad, sizes = PHASES[phase]
    if phase == "staging":
        fleet.sh(bad, "mount -t tmpfs -o size=8M tmpfs /var/lib/shipit")
        fleet.variables()
    else:
        fleet.variables(**{bad: {"fault": "start"}})
    version = f"1.{1 + list(PHASES).index(phase)}.0"
    done = fleet.deploy(
        version,
        "--json",
        env={"TINYAPP_FAULT": "{{ fault | default('') }}"},
        canary={"hosts": 1, "hold": "1s"},
        serial=["25%", "100%"],
    )
    if phase == "staging":
        fleet.sh(bad, "umount /var/lib/shipit")
    assert [len(it["hosts"]) for it in done.reported("batch-began", act="switch")] == sizes
    assert done.status == (3 if phase == "staging" else 4), done.output
    assert fleet.versions() == dict.fromkeys(FLEET, "1.0.0")
    named = {line["problem"]["host"] for line in done.reported("host-failed")}
    assert bad in named
    wrong = {h for h, it in done.result["hosts"].items() if it["problem"] and not it["because"]}
    assert wrong == {bad}


@left_out_unless(IS_WHOLE, "fleet")
def test_twelve_good_hosts_are_switched_canary_quarter_rest(fleet: Workspace) -> None:
    fleet.variables()
    done = fleet.deploy(
        "2.0.0", "--json", canary={"hosts": 1, "hold": "1s"}, serial=["25%", "100%"]
    )
    assert done.status == 0, done.output
    assert fleet.versions() == dict.fromkeys(FLEET, "2.0.0")
    assert [len(it["hosts"]) for it in done.reported("batch-began")] == [1, 2, 9]

"""Releases that overlap on one socket: each takes over from what was there, and nobody is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hosts.load import Demand, Load
from hosts.overlap import HEALTH, HOST, HTTP, WEB, WORKER, deploy, serving
from hosts.workspace import PORT, Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shipit.lab.lab import Lab

# Few, as other tests are at work beside.
CLIENTS = Demand(rate=50, kept=3, fresh=3, long=1, long_page="/slow?seconds=3")


ASK = """
import socket
with socket.socket(socket.AF_UNIX) as sock:
    sock.connect("{path}")
    sock.sendall(b"GET /healthz HTTP/1.0\\r\\n\\r\\n")
    print(sock.makefile().read())
"""


@pytest.fixture
def workspace(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """Give a host that serves 1.0.0, handing over by overlapping."""
    with serving(lab, tmp_path_factory.mktemp("overlap")) as workspace:
        yield workspace


def clients(workspace: Workspace) -> Load:
    return Load(f"http://{workspace.lab.hosts[HOST].address}:{PORT}/", CLIENTS)


def services(workspace: Workspace, state: str = "") -> set[str]:
    """Return the processes' units that run, by what systemd says."""
    script = "systemctl list-units --plain --no-legend --type=service 'tinyapp-*'"
    lines = workspace.sh(HOST, script).splitlines()
    return {line.split()[0] for line in lines if state in line}


def release(workspace: Workspace) -> str:
    return str(workspace.asked("status")[HOST]["release"])


@pytest.mark.parametrize(
    ("fault", "code", "deadline"),
    [
        ("start", "unit-failed", "60s"),
        ("healthz", "check-failed", "3s"),
        ("late:0.2", "unit-failed", "60s"),
    ],
)
def test_a_release_that_fails_its_trial_has_served_nobody_and_nothing_was_switched(
    workspace: Workspace, fault: str, code: str, deadline: str
) -> None:
    before = workspace.serves(HOST)
    with clients(workspace) as load:
        health = {**HEALTH, "deadline": deadline, "min_healthy": "1s"}
        done = deploy(workspace, "2.0.0", fault, health=health)
    assert done.status == 3, done.output
    (result,) = done.result["hosts"].values()
    assert (result["outcome"], result["problem"]["code"]) == ("discarded", code)
    assert result["problem"]["step"] == "trial"
    assert "tinyapp-web@trial.service" in str(result["problem"])
    assert f"shipit logs PLAYBOOK --limit {HOST}" in result["problem"]["hint"]
    assert "tinyapp-web@trial.service" in workspace.shipit("logs", "-s", "web", "-n", "500").out
    assert load.result.failures == []
    assert set(load.result.versions) == {"1.0.0"}
    assert workspace.serves(HOST) == before  # the very process
    assert services(workspace) == {
        f"tinyapp-web@{release(workspace)}.service",
        "tinyapp-worker.service",
    }


def test_a_release_that_fails_after_its_trial_is_rolled_back_without_a_lost_request(
    workspace: Workspace,
) -> None:
    fails = {"checks": [{"http": HTTP}, {"command": "/bin/false"}], "interval": "1s"}
    health = {**HEALTH, **fails, "deadline": "15s"}
    with clients(workspace) as load:
        done = deploy(workspace, "2.0.0", health=health)
    assert done.status == 4, done.output
    assert load.result.failures == []
    assert set(load.result.versions) == {"1.0.0", "2.0.0"}
    assert workspace.serves(HOST)["version"] == "1.0.0"


def test_instances_and_workers_are_replaced_one_at_a_time(workspace: Workspace) -> None:
    several = {
        "web": {**WEB, "instances": 2},
        "worker": {**WORKER, "handover": "overlap", "instances": 2},
    }
    with clients(workspace) as load:
        for version in ("2.0.0", "2.1.0"):
            done = deploy(workspace, version, services=several)
            assert done.status == 0, done.output
    assert load.result.failures == []
    id_ = release(workspace)
    kinds = ("web", "worker")
    units = {f"tinyapp-{kind}@{id_}.{n}.service" for kind in kinds for n in (1, 2)}
    assert services(workspace, "running") == units
    log = workspace.sh(
        HOST, "journalctl --sync; journalctl -b -o cat -u 'tinyapp-web@*'"
    ).splitlines()
    reported = [x for x in log if x.startswith(("Started", "Stopped")) and "trial" not in x][-4:]
    assert [line.split()[0] for line in reported] == ["Started", "Stopped"] * 2


def test_one_way_of_handing_over_follows_the_other_without_a_lost_request(
    workspace: Workspace,
) -> None:
    with clients(workspace) as load:
        for version, handover in (("2.0.0", "restart"), ("2.1.0", "overlap")):
            web = {**WEB, "handover": handover}
            done = deploy(workspace, version, services={"web": web, "worker": WORKER})
            assert done.status == 0, done.output
        assert workspace.shipit("rollback").status == 0
    assert load.result.failures == []
    assert set(load.result.versions) == {"1.0.0", "2.0.0", "2.1.0"}
    assert services(workspace) == {"tinyapp-web.service", "tinyapp-worker.service"}


def test_a_unix_socket_and_a_command_that_says_when_it_is_ready_hand_over_too(
    workspace: Workspace,
) -> None:
    path = "/run/tinyapp-web.sock"
    web = {**WEB, "socket": path, "notify": True}
    health = {**HEALTH, "checks": [{"unix": path}]}
    for version in ("2.0.0", "2.1.0"):
        done = deploy(workspace, version, services={"web": web}, health=health)
        assert done.status == 0, done.output
    ask = ASK.format(path=path)
    assert '"version": "2.1.0"' in workspace.lab.run(HOST, "python3", "-c", ask).stdout
    broken = {**health, "deadline": "2s"}
    done = deploy(workspace, "2.2.0", "start", services={"web": web}, health=broken)
    assert done.status == 3, done.output


def test_a_reboot_starts_the_overlapping_release_again(workspace: Workspace) -> None:
    assert deploy(workspace, "2.0.0").status == 0
    workspace.lab.power_cut(HOST)
    workspace.lab.boot(HOST)
    assert workspace.serves(HOST)["version"] == "2.0.0"
    assert services(workspace) == {
        f"tinyapp-web@{release(workspace)}.service",
        "tinyapp-worker.service",
    }

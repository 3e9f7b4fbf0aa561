"""Ctrl-C and SIGTERM at the worst moments: the hosts serve the old release, and it is said."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from hosts.site import HOSTS, at_rest
from hosts.workspace import PORT, Done, Workspace, alarm, all_in, ended, heard

if TYPE_CHECKING:
    import subprocess

    from shipit.lab.lab import Lab

SIGNALS = [signal.SIGINT, signal.SIGTERM]
PATIENT = {"checks": [{"http": f"http://127.0.0.1:{PORT}/healthz"}], "deadline": "120s"}
ASLEEP = "slow:100"  # seconds: it does not listen as long as a test looks at it


@pytest.fixture(scope="module")
def deployed(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Give hosts that serve 1.0.0; each test here leaves them so."""
    workspace = Workspace.set(tmp_path_factory.mktemp("interrupt"), lab)
    workspace.begin(*HOSTS)
    return workspace


def stop_in(process: subprocess.Popen[str], step: str, number: int) -> Done:
    """Send the signal as soon as both hosts have begun with a step; return how it ended."""
    before = heard(process, all_in(step, HOSTS))
    process.send_signal(number)
    return ended(process, before)


def check_that_nothing_happened(workspace: Workspace, before: dict[str, dict[str, Any]]) -> None:
    """Look that both hosts serve 1.0.0, and that nothing blocks the next deploy."""
    at_rest(workspace.lab)  # what was let go of is put away when its controller has ended
    assert workspace.versions() == {"web1": "1.0.0", "web2": "1.0.0"}
    workspace.playbook("1.0.0")
    again = workspace.shipit("deploy", "--json")
    assert again.status == 0, again.output
    assert {it["outcome"] for it in again.result["hosts"].values()} == {"unchanged"}
    for host, status in workspace.asked("status").items():
        assert status["release"] == before[host]["release"]
        assert (status["drift"], status["stuck"], status["holder"]) == ([], "", None)
        assert workspace.sh(host, "systemctl is-failed 'tinyapp*' || true").count("failed") == 0
        assert workspace.sh(host, "ls /var/lib/shipit/txn/*.json 2>/dev/null || true") == ""


@pytest.mark.parametrize("number", SIGNALS)
def test_while_staging_nothing_is_switched_and_nothing_is_left(
    deployed: Workspace, number: signal.Signals
) -> None:
    before = deployed.asked("status")
    there = deployed.sh("web1", "ls /opt/tinyapp/releases")
    pids = {host: deployed.serves(host)["pid"] for host in before}
    deployed.wheel("2.0.0")
    deployed.playbook("2.0.0", smoke="/bin/sleep 50")  # of 60 s that it has
    process = deployed.start_cold("deploy", "--json")
    done = stop_in(process, "smoke", number)
    assert done.status == 130, done.output
    assert done.result["outcome"] == "interrupted"
    assert {it["outcome"] for it in done.result["hosts"].values()} == {"discarded"}
    check_that_nothing_happened(deployed, before)
    assert {host: deployed.serves(host)["pid"] for host in before} == pids
    assert deployed.sh("web1", "ls /opt/tinyapp/releases") == there


@pytest.mark.parametrize("number", SIGNALS)
def test_an_interrupt_in_the_gate_rolls_the_hosts_back(
    deployed: Workspace, number: signal.Signals
) -> None:
    before = deployed.asked("status")
    deployed.wheel("2.1.0", fault=ASLEEP)
    deployed.playbook("2.1.0", health=PATIENT)
    process = deployed.start_cold("deploy", "--json")
    done = stop_in(process, "check", number)
    assert done.status == 130, done.output
    assert {it["outcome"] for it in done.result["hosts"].values()} == {"rolled_back"}
    check_that_nothing_happened(deployed, before)


@pytest.mark.parametrize("number", SIGNALS)
def test_an_interrupt_while_a_host_waits_rolls_it_back_too(
    deployed: Workspace, number: signal.Signals
) -> None:
    before = deployed.asked("status")
    deployed.variables(web2={"fault": ASLEEP})
    deployed.wheel("2.2.0")
    fault = {"TINYAPP_FAULT": "{{ fault | default('') }}"}
    deployed.playbook("2.2.0", health=PATIENT, serial=1, env=fault)
    process = deployed.start_cold("deploy", "--json")
    done = stop_in(process, "check", number)
    assert done.status == 130, done.output
    assert {it["outcome"] for it in done.result["hosts"].values()} == {"rolled_back"}
    check_that_nothing_happened(deployed, before)


def test_the_interrupt_is_reported_with_its_rollback(deployed: Workspace) -> None:
    before = deployed.asked("status")
    deployed.wheel("2.3.0", fault=ASLEEP)
    deployed.playbook("2.3.0", health=PATIENT)
    process = deployed.start_cold("deploy", "-v")
    assert process.stdout is not None
    with alarm(process):
        checks = (line for line in process.stdout if "check" in line.split())
        begun = [next(checks) for _ in HOSTS]
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate()
    assert process.returncode == 130, "".join(begun) + rest
    assert "interrupted" in rest
    assert rest.count("rolled back") >= 2
    assert f"rolled back  {before['web1']['release']}" in rest
    check_that_nothing_happened(deployed, before)

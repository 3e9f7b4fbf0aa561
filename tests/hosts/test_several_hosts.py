"""Two hosts as one fleet: all staged before one is switched, then batches, all back together."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import advisories
import wheelhouse
from hosts.workspace import PORT, Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.lab.lab import Lab

HOSTS = ("web1", "web2")
FAULT = {"TINYAPP_FAULT": "{{ fault | default('') }}"}  # a host's variable breaks its service
DEAD = {"fault": "start"}  # fails the gate at once: the other host may take its time


@pytest.fixture
def workspace(lab: Lab, tmp_path: Path) -> Workspace:
    """Give hosts that serve 1.0.0."""
    workspace = Workspace.set(tmp_path, lab)
    workspace.begin(*HOSTS)
    return workspace


def outcomes(result: dict[str, Any]) -> dict[str, str]:
    return {host: it["outcome"] for host, it in result["hosts"].items()}


def order(lines: list[dict[str, Any]], *wanted: tuple[str, str]) -> list[tuple[str, str]]:
    """Return the (host, step) of steps that began, in order, those alone that are wanted."""
    began = [(line["host"], line["step"]) for line in lines if line["event"] == "step-began"]
    return [step for step in began if step in wanted]


def squeezed(folder: Path, size: int) -> Path:
    """Write a wheel that is far larger on the disk than any estimate can tell."""
    made = wheelhouse.write_wheel(folder, wheelhouse.Recipe("ballast", bulk=size))
    with zipfile.ZipFile(made) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(zipfile.ZipInfo(name, wheelhouse.LONG_AGO), content, 8)
    return made


def test_a_disk_that_is_too_small_on_one_host_leaves_all_hosts_untouched(
    workspace: Workspace,
) -> None:
    before = {host: workspace.serves(host) for host in HOSTS}
    workspace.sh("web2", "mount -t tmpfs -o size=8M tmpfs /var/lib/shipit")
    done = workspace.deploy("1.1.0", "--json")
    assert (done.status, outcomes(done.result)) == (3, dict.fromkeys(HOSTS, "discarded"))
    assert done.result["hosts"]["web2"]["problem"]["code"] == "disk-too-small"
    assert {host: workspace.serves(host) for host in HOSTS} == before
    workspace.sh("web2", "umount -l /var/lib/shipit")
    assert workspace.shipit("deploy").status == 0


def test_a_disk_that_fills_while_it_stages_leaves_all_hosts_untouched(workspace: Workspace) -> None:
    before = {host: workspace.serves(host) for host in HOSTS}
    there = workspace.sh("web2", "ls /opt/tinyapp/releases")
    # A file system of its own for what is built, so that the cache can't lend its files.
    workspace.sh(
        "web2",
        "mount -t tmpfs -o size=120M tmpfs /mnt && cp -a /opt/tinyapp/releases/. /mnt"
        " && fallocate -l 40M /mnt/ballast && mount --bind /mnt /opt/tinyapp/releases",
    )
    workspace.lock(squeezed(workspace.wheels, 80 * wheelhouse.MIB))
    workspace.wheel("1.1.0", requires=["ballast"])
    workspace.playbook("1.1.0")
    done = workspace.shipit("deploy", "--json")
    assert (done.status, outcomes(done.result)) == (3, dict.fromkeys(HOSTS, "discarded"))
    problem = done.result["hosts"]["web2"]["problem"]
    reported = f"{problem['what']} {problem['evidence']}".lower()
    assert "no space left" in reported or "full" in reported, problem
    assert done.reported("batch-began") == []
    assert {host: workspace.serves(host) for host in HOSTS} == before
    workspace.sh("web2", "umount -l /opt/tinyapp/releases")
    assert workspace.sh("web2", "ls /opt/tinyapp/releases") == there
    assert workspace.shipit("deploy").status == 0
    assert workspace.versions() == dict.fromkeys(HOSTS, "1.1.0")


def test_hosts_are_switched_in_batches_after_all_are_staged(workspace: Workspace) -> None:
    done = workspace.deploy("1.1.0", "--json", serial=[1, "100%"])
    assert done.status == 0, done.output
    batches = [(line["number"], line["of"], line["hosts"]) for line in done.reported("batch-began")]
    assert batches == [(1, 2, ["web1"]), (2, 2, ["web2"])]
    steps = [("web1", "smoke"), ("web2", "smoke"), ("web1", "check"), ("web2", "arm")]
    steps += [("web1", "commit"), ("web2", "check")]
    reported = order(done.lines, *steps)
    assert {*reported[:2]} == {("web1", "smoke"), ("web2", "smoke")}
    # web1 has passed its gate before web2 is armed, and is committed after web2 has passed.
    assert reported[2:] == [
        ("web1", "check"),
        ("web2", "arm"),
        ("web2", "check"),
        ("web1", "commit"),
    ]


def test_a_second_batch_that_fails_rolls_back_the_first(workspace: Workspace) -> None:
    before = workspace.asked("status")
    workspace.variables(web2=DEAD)
    done = workspace.deploy("1.1.0", "--json", serial=1, env=FAULT)
    assert (done.status, outcomes(done.result)) == (4, dict.fromkeys(HOSTS, "rolled_back"))
    assert workspace.versions() == dict.fromkeys(HOSTS, "1.0.0")
    because = {host: it["because"] for host, it in done.result["hosts"].items()}
    assert because == {
        "web1": "1 of 2 hosts failed, and max_fail_percentage allows 0%",
        "web2": "",
    }
    after = workspace.asked("status")
    assert {h: s["release"] for h, s in after.items()} == {
        h: s["release"] for h, s in before.items()
    }
    history = workspace.asked("releases")
    for host in HOSTS:
        newest = history[host]["releases"][-1]
        assert (newest["version"], newest["outcome"]) == ("1.1.0", "rolled_back")


def test_a_failed_gate_rolls_back_hosts_whose_gate_still_runs(workspace: Workspace) -> None:
    workspace.variables(web2=DEAD)
    checks = [{"tcp": f"127.0.0.1:{PORT}"}]  # systemd answers it for web1: it would take an hour
    health = {"checks": checks, "min_healthy": "1h", "deadline": "2h"}
    done = workspace.deploy("1.1.0", "--json", health=health, env=FAULT)
    assert (done.status, outcomes(done.result)) == (4, dict.fromkeys(HOSTS, "rolled_back"))
    assert done.result["hosts"]["web2"]["problem"]["code"] == "unit-failed"
    assert done.result["hosts"]["web1"]["problem"]["code"] == "called-back"
    assert workspace.versions() == dict.fromkeys(HOSTS, "1.0.0")


@pytest.mark.parametrize("limit", [{"max_fail_percentage": 50}, {"max_failures": 1}])
def test_as_many_as_the_limit_allows_may_fail_and_the_others_are_committed(
    workspace: Workspace, limit: dict[str, Any]
) -> None:
    workspace.variables(web2=DEAD)
    done = workspace.deploy("1.1.0", "--json", env=FAULT, **limit)
    assert outcomes(done.result) == {"web1": "committed", "web2": "rolled_back"}
    assert done.status == 5
    assert workspace.versions() == {"web1": "1.1.0", "web2": "1.0.0"}
    running = {host: status["version"] for host, status in workspace.asked("status").items()}
    assert running == {"web1": "1.1.0", "web2": "1.0.0"}


def test_an_unreachable_host_has_a_limit_of_its_own(workspace: Workspace) -> None:
    workspace.variables(web2={"ansible_port": 9})  # where nobody listens
    done = workspace.deploy("1.1.0", "--json", max_failures=2)
    assert (done.status, outcomes(done.result)["web1"]) == (3, "discarded")
    done = workspace.deploy("1.1.0", "--json", max_unreachable="50%")
    assert outcomes(done.result) == {"web1": "committed", "web2": "unreachable"}
    assert done.status == 5


def test_several_deployments_go_in_order_and_back_in_reverse(workspace: Workspace) -> None:
    def write(version: str, **changes: object) -> None:
        workspace.wheel(version)
        both = []
        for app, port in (("tinyapp", PORT), ("other", PORT + 1)):
            path = workspace.playbook(
                version,
                app=app,
                services={"web": {"command": "tinyapp", "socket": port}},
                health=[{"tcp": port}],
                **(changes if app == "other" else {}),
            )
            both.append(yaml.safe_load(path.read_text()))
        (workspace.folder / "playbook.yaml").write_text(yaml.safe_dump(both))

    def served() -> set[tuple[str, str]]:
        return {
            (workspace.serves(host)["version"], workspace.serves(host, port=PORT + 1)["version"])
            for host in HOSTS
        }

    write("1.1.0")
    done = workspace.shipit("deploy", "--json")
    assert done.status == 0, done.output
    assert [line["app"] for line in done.reported("run-began")] == ["tinyapp", "other"]
    assert served() == {("1.1.0", "1.1.0")}
    write("1.2.0")
    assert workspace.shipit("deploy").status == 0
    back = workspace.shipit("rollback", "--json")
    assert back.status == 0, back.output
    assert [line["app"] for line in back.reported("run-began")] == ["other", "tinyapp"]
    assert served() == {("1.1.0", "1.1.0")}
    write("1.3.0", smoke="/bin/false")
    stopped = workspace.shipit("deploy", "--json")
    assert stopped.status == 3  # of the second; the first one is through
    assert served() == {("1.3.0", "1.1.0")}
    apps = {run["app"]: run["hosts"] for run in stopped.result["runs"]}
    assert apps == {
        "tinyapp": dict.fromkeys(HOSTS, "committed"),
        "other": dict.fromkeys(HOSTS, "discarded"),
    }


def test_an_audit_names_the_hosts_that_run_a_vulnerable_package(workspace: Workspace) -> None:
    found = workspace.shipit("audit", "--json", "--package", "pip>1", "--package", "uv>0")
    (installer,) = found.result["findings"]
    assert (found.status, installer["code"], installer["hosts"]) == (2, "package-found", [*HOSTS])
    name, version = installer["what"].split()[:2]
    record = advisories.advisory(name, "0", "999", "GHSA-1")
    with advisories.serving(advisories.Service({(name, version): [record]})) as server:
        done = workspace.shipit("audit", "--json", "--service", server.url)
        ignored = workspace.shipit("audit", "--json", "--service", server.url, "--ignore", "GHSA-1")
    (finding,) = done.result["findings"]
    assert (done.status, finding["code"], finding["hosts"]) == (2, "vulnerable-package", [*HOSTS])
    assert "GHSA-1" in finding["what"]
    assert "999" in finding["hint"]
    assert (ignored.status, ignored.result["findings"]) == (0, [])
    assert "tinyapp" not in {asked for asked, _ in server.asked}

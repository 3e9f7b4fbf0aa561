"""The main job on two real hosts, from the first deploy to the last rollback, as operators see it.

The acts are played once, and what was seen after each is kept; the tests look at that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from hosts.workspace import PORT, Done, Workspace
from patience import until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from shipit.lab.lab import Lab

HOSTS = ("web1", "web2")
CHECK = {
    "http": f"http://127.0.0.1:{PORT}/healthz",
    "json": {"version": "{{ release.version }}"},
}
HEALTH = {"checks": [CHECK], "min_healthy": "200ms"}
IMPATIENT = {**HEALTH, "deadline": "12s"}  # for what will never be well
PATIENCE = 60.0  # seconds


@dataclass(frozen=True)
class HostState:
    """The state of one host after a step."""

    serves: Mapping[str, Any]
    env: Mapping[str, Any]
    file: Mapping[str, Any]
    unit: str
    current: str


@dataclass(frozen=True)
class Step:
    """A command, and what was observed after it."""

    done: Done
    status: Mapping[str, Mapping[str, Any]]
    releases: Mapping[str, list[dict[str, Any]]]
    hosts: Mapping[str, HostState]

    def running(self, name: str) -> str:
        return str(self.status[name]["release"])


@dataclass
class Steps:
    """The steps by name."""

    workspace: Workspace
    steps: dict[str, Step] = field(default_factory=dict)

    def step(self, name: str, done: Done) -> Step:
        workspace = self.workspace
        history = workspace.asked("releases")
        self.steps[name] = Step(
            done,
            workspace.asked("status"),
            {host: answer["releases"] for host, answer in history.items()},
            {host: self._see(host) for host in HOSTS},
        )
        return self.steps[name]

    def _see(self, host: str) -> HostState:
        workspace = self.workspace
        return HostState(
            workspace.serves(host),
            workspace.serves(host, "/env?key=GREETING"),
            workspace.serves(host, "/file?path=settings.ini"),
            workspace.sh(host, "cat /etc/systemd/system/tinyapp-worker.service"),
            workspace.sh(host, "readlink /opt/tinyapp/current"),
        )

    def deploy(self, version: str, fault: str = "", **changes: object) -> Done:
        """Deploy a release that differs in code, env, a rendered file and a unit."""
        return self.workspace.deploy(
            version,
            "--json",
            fault=fault,
            env={"GREETING": f"greeting of {version}"},
            files=[{"src": "settings.ini.j2", "dest": "settings.ini"}],
            services={
                "web": {"command": "tinyapp", "socket": PORT, "stop_timeout": "5s"},
                "worker": {
                    "command": "tinyapp-worker",
                    "env": {"OF": version},
                    "hardening": {"UMask": f"00{version[2]}7"},
                },
                "nightly": {"command": "tinyapp-report", "timer": "*-01-01 03:00:00"},
            },
            health=IMPATIENT if fault else HEALTH,
            **changes,
        )


@pytest.fixture(scope="module")
def recorded(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Steps:
    lab.reset()
    workspace = Workspace.set(tmp_path_factory.mktemp("play"), lab)
    (workspace.folder / "settings.ini.j2").write_text("version = {{ release.version }}\n")
    recorded = Steps(workspace)
    recorded.step("first deploy", recorded.deploy("1.0.0"))
    recorded.step("no-op", workspace.shipit("deploy", "--json"))
    recorded.step("second deploy", recorded.deploy("1.1.0"))
    recorded.step("broken deploy", recorded.deploy("1.2.0", fault="healthz"))
    # A rollback needs nothing but the release that lies on the host.
    for host in HOSTS:
        workspace.sh(host, "rm -rf /var/lib/shipit/uv-cache")
    for wheel in (*workspace.wheels.iterdir(), *workspace.folder.glob("*.whl")):
        wheel.rename(wheel.with_suffix(".away"))
    recorded.step("rollback", workspace.shipit("rollback", "--json"))
    recorded.step("rollback to a version", workspace.shipit("rollback", "--json", "--to", "1.1.0"))
    first = recorded.steps["first deploy"].running("web1")
    recorded.step("rollback to an id", workspace.shipit("rollback", "--json", "--to", first))
    recorded.step(
        "rollback to a failed one", workspace.shipit("rollback", "--json", "--to", "1.2.0")
    )
    return recorded


@pytest.mark.parametrize(
    ("name", "status", "outcome", "version"),
    [
        ("first deploy", 0, "committed", "1.0.0"),
        ("no-op", 0, "unchanged", "1.0.0"),
        ("second deploy", 0, "committed", "1.1.0"),
        ("broken deploy", 3, "discarded", "1.1.0"),
        ("rollback", 0, "committed", "1.0.0"),
        ("rollback to a version", 0, "committed", "1.1.0"),
        ("rollback to an id", 0, "committed", "1.0.0"),
        ("rollback to a failed one", 3, "discarded", "1.0.0"),
    ],
)
def test_every_command_ends_as_documented_and_status_is_correct(
    recorded: Steps, name: str, status: int, outcome: str, version: str
) -> None:
    step = recorded.steps[name]
    assert step.done.status == status, step.done.output
    assert step.done.result["exit_status"] == status
    assert {h: r["outcome"] for h, r in step.done.result["hosts"].items()} == dict.fromkeys(
        HOSTS, outcome
    )
    for host in HOSTS:
        assert step.hosts[host].serves["version"] == version
        assert step.status[host]["version"] == version
        assert step.done.result["hosts"][host]["release"] == step.running(host)
        assert step.hosts[host].current == f"releases/{step.running(host)}"
        assert (step.status[host]["drift"], step.status[host]["stuck"]) == ([], "")
        (running,) = [line for line in step.releases[host] if line["running"]]
        assert (running["id"], running["outcome"]) == (step.running(host), "committed")
        units = {unit["name"]: unit["active"] for unit in step.status[host]["units"]}
        web = f"tinyapp-web@{step.running(host)}.service"
        assert units[web] == units["tinyapp-worker.service"] == "active/running"


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("broken deploy", "1.1.0"),
        ("rollback", "1.0.0"),
        ("rollback to a version", "1.1.0"),
        ("rollback to an id", "1.0.0"),
    ],
)
def test_a_rollback_restores_code_units_env_and_files_together(
    recorded: Steps, name: str, version: str
) -> None:
    before = recorded.steps["first deploy" if version == "1.0.0" else "second deploy"]
    after = recorded.steps[name]
    for host in HOSTS:
        seen = after.hosts[host]
        assert seen.serves["version"] == version
        assert seen.env == {"GREETING": f"greeting of {version}"}
        assert seen.file == {"text": f"version = {version}\n"}
        assert f"UMask=00{version[2]}7" in seen.unit
        assert seen.unit == before.hosts[host].unit
        assert after.running(host) == before.running(host)


@pytest.mark.parametrize("name", ["rollback", "rollback to a version", "rollback to an id"])
def test_a_rollback_is_the_switch_alone(recorded: Steps, name: str) -> None:
    for host in HOSTS:
        steps = recorded.steps[name].done.reported("step-ended", host=host)
        own = {step["step"] for step in steps} - {"connect", "check"}
        assert own == {"arm", "trial", "activate", "commit"}


def test_a_no_op_leaves_the_processes_alone(recorded: Steps) -> None:
    for host in HOSTS:
        before, after = (recorded.steps[name].hosts[host] for name in ("first deploy", "no-op"))
        assert after == before  # the pid is among what the service answers
    assert recorded.steps["no-op"].done.reported("batch-began") == []


def test_a_broken_release_is_in_the_history_as_failed(recorded: Steps) -> None:
    for name in ("broken deploy", "rollback to a failed one"):
        for host in HOSTS:
            lines = [
                line for line in recorded.steps[name].releases[host] if line["version"] == "1.2.0"
            ]
            assert [(line["outcome"], line["running"]) for line in lines] == [("discarded", False)]


def test_a_broken_release_is_reported_with_its_check_and_its_log(recorded: Steps) -> None:
    failed = [
        line["problem"] for line in recorded.steps["broken deploy"].done.reported("host-failed")
    ]
    found_out = [problem for problem in failed if problem["code"] != "called-back"]
    assert found_out
    for problem in found_out:
        assert problem["code"] == "check-failed"
        assert (
            f"GET http://127.0.0.1:{PORT}/healthz: expected status 200, got 500"
            in (problem["what"])
        )
        assert '"status": "broken"' in problem["evidence"]  # the last answer
        assert '"GET /healthz HTTP/1.1" 500' in problem["evidence"]  # the service's own log


def test_a_failed_release_is_no_rollback_target_and_the_others_are_named(
    recorded: Steps,
) -> None:
    refused = recorded.steps["rollback to a failed one"].done
    good = recorded.steps["second deploy"].running("web1")
    for problem in (line["problem"] for line in refused.reported("host-failed")):
        assert problem["code"] == "no-rollback-target"
        assert "no verified release 1.2.0" in problem["what"]
        assert good in problem["hint"]
    assert (
        recorded.steps["rollback to an id"].hosts
        == recorded.steps["rollback to a failed one"].hosts
    )


def test_neither_a_rollback_nor_a_deploy_needs_earlier_uploads(recorded: Steps) -> None:
    """Changes the hosts; what was observed before is recorded."""
    for host in HOSTS:
        recorded.workspace.sh(host, "rm -rf /var/lib/shipit/blobs /var/lib/shipit/uv-cache")
    assert recorded.workspace.shipit("rollback", "--to", "1.1.0").status == 0
    assert recorded.workspace.versions() == dict.fromkeys(HOSTS, "1.1.0")
    for away in (*recorded.workspace.wheels.iterdir(), *recorded.workspace.folder.glob("*.away")):
        away.rename(away.with_suffix(".whl"))
    done = recorded.deploy("1.3.0")
    assert done.status == 0, done.output
    assert recorded.workspace.versions() == dict.fromkeys(HOSTS, "1.3.0")


# --- with hosts of their own -------------------------------------------------------------------


def test_a_host_added_later_gets_everything_it_needs(fresh: Lab, tmp_path: Path) -> None:
    workspace = Workspace.set(tmp_path, fresh, hosts=["web1"])
    assert workspace.deploy("1.0.0").status == 0
    assert workspace.deploy("1.1.0").status == 0
    pid = workspace.serves("web1")["pid"]
    workspace.inventory(HOSTS)
    done = workspace.shipit("deploy", "--json")
    outcomes = {host: result["outcome"] for host, result in done.result["hosts"].items()}
    assert (done.status, outcomes) == (0, {"web1": "unchanged", "web2": "committed"})
    assert workspace.versions() == dict.fromkeys(HOSTS, "1.1.0")
    assert workspace.serves("web1")["pid"] == pid
    status = workspace.asked("status")
    assert status["web1"]["release"] == status["web2"]["release"]


def test_a_first_deploy_that_fails_leaves_a_clean_host(fresh: Lab, tmp_path: Path) -> None:
    workspace = Workspace.set(tmp_path, fresh)
    done = workspace.deploy("1.0.0", "--json", fault="start", health=HEALTH)
    assert done.status == 4, done.output
    units = "find /etc/systemd /run/systemd -name '*tinyapp*' || true"

    def left() -> list[str]:  # the host's own unit ends a moment after it has reported the outcome
        return [found for host in HOSTS if (found := workspace.sh(host, units))]

    until(lambda: not left(), lambda: str(left()), PATIENCE)
    for host in HOSTS:
        assert workspace.sh(host, "ls /opt/tinyapp") == "ledger.jsonl"
        assert "tinyapp" not in workspace.sh(host, "systemctl list-units --plain 'tinyapp*'")
    log = workspace.shipit("logs", "-s", "web", "-n", "500").out
    assert "tinyapp-web" in log
    [attempt] = workspace.asked("releases")["web1"]["attempts"]
    assert (attempt["what"], attempt["outcome"]) == ("deploy", "rolled_back")
    refused = workspace.shipit("rollback")
    assert refused.status == 3
    assert "no earlier verified release" in refused.output
    assert workspace.deploy("1.0.1", health=HEALTH).status == 0
    assert workspace.versions() == dict.fromkeys(HOSTS, "1.0.1")

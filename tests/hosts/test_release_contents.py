"""What a release holds, and what becomes of it on the host: units, files, timers, pruning, plan."""

from __future__ import annotations

import json
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

import wheelhouse
from hosts.workspace import PORT, Workspace, alarm

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.lab.lab import Lab

WEB = {"web": {"command": "tinyapp", "socket": PORT, "stop_timeout": "5s", "handover": "restart"}}
ROOT = "/opt/tinyapp"
UNIT = """{% extends "shipit/service.j2" %}
{% block service %}
{{ super() }}
Environment=FROM_OWN_UNIT={{ release.version }}
{% endblock %}
"""
# What a command that only looks may leave: the agent itself, logs, and traces of the login; and
# what the services write themselves.
ALLOWED = (
    *("/var/lib/tinyapp", "/var/lib/shipit/agent", "/var/lib/sudo", "/var/log"),
    "/var/lib/systemd",  # stamps of its own timers
    *("/run", "/tmp", "/var/tmp", "/proc", "/sys", "/dev"),
)


@pytest.fixture(scope="module")
def workspace(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Give one host; each test here deploys what it needs over whatever runs there."""
    lab.reset("web1")
    return Workspace.set(tmp_path_factory.mktemp("contents"), lab, hosts=["web1"])


def deployed(workspace: Workspace, version: str, **changes: object) -> None:
    workspace.wheel(version)
    workspace.playbook(version, **changes)
    done = workspace.shipit("deploy")
    assert done.status == 0, done.output


def sh(workspace: Workspace, script: str) -> str:
    return workspace.sh("web1", script)


def files_of(workspace: Workspace) -> set[str]:
    """Return every file's path, mode, owner, size and time of change, but those ALLOWED."""
    without = " -o ".join(f"-path {path}" for path in ALLOWED)
    found = sh(
        workspace, f"find / \\( {without} \\) -prune -o -type f -printf '%p %m %u %s %C@\\n'"
    )
    return set(found.splitlines())


def invocations(workspace: Workspace) -> dict[str, str]:
    """Return the units of the app with what distinguishes one run from the next."""
    shown = sh(workspace, "systemctl show -p Id,InvocationID 'tinyapp*'")
    blocks = (dict(line.split("=", 1) for line in b.splitlines()) for b in shown.split("\n\n"))
    return {block["Id"]: block["InvocationID"] for block in blocks}


def test_units_that_a_release_drops_are_removed_and_come_back_with_it(workspace: Workspace) -> None:
    deployed(workspace, "1.0.0")
    assert sh(workspace, "systemctl is-active tinyapp-worker tinyapp-nightly.timer").split() == [
        "active",
        "active",
    ]
    deployed(workspace, "1.0.1", services=WEB)
    assert sh(
        workspace, "find /etc/systemd -name 'tinyapp-*' -printf '%f\\n' | sort -u"
    ).split() == [
        "tinyapp-web.service",
        "tinyapp-web.socket",
    ]
    assert "tinyapp-worker" not in sh(workspace, "systemctl list-units --plain 'tinyapp*'")
    assert workspace.shipit("rollback").status == 0
    active = sh(workspace, "systemctl is-active tinyapp-worker tinyapp-nightly.timer tinyapp-web")
    assert active.split() == ["active"] * 3
    assert sh(workspace, "systemctl is-enabled tinyapp-worker tinyapp-nightly.timer").split() == [
        "enabled",
        "enabled",
    ]


def test_a_custom_unit_template_is_used(workspace: Workspace) -> None:
    (workspace.folder / "web.service.j2").write_text(UNIT)
    services = {"web": {**WEB["web"], "unit": "web.service.j2"}}
    deployed(workspace, "1.1.0", services=services)
    assert workspace.serves("web1", "/env?key=FROM_OWN_UNIT") == {"FROM_OWN_UNIT": "1.1.0"}


def test_files_have_their_text_mode_and_owner(workspace: Workspace) -> None:
    (workspace.folder / "app.ini.j2").write_text("port = {{ port }}\n")
    (workspace.folder / "plain.txt").write_text("{{ not a template }}\n")
    files = [
        {"src": "app.ini.j2", "dest": "conf/app.ini", "mode": "0640"},
        {"src": "plain.txt", "dest": "plain.txt"},
    ]
    deployed(workspace, "1.2.0", vars={"port": 1234}, files=files)
    assert workspace.serves("web1", "/file?path=conf/app.ini") == {"text": "port = 1234\n"}
    assert workspace.serves("web1", "/file?path=plain.txt") == {"text": "{{ not a template }}\n"}
    shown = sh(workspace, f"cd {ROOT}/current/files && stat -c '%a %U %G' conf/app.ini plain.txt")
    assert shown.splitlines() == ["640 root tinyapp", "644 root tinyapp"]


def test_shared_files_belong_to_the_service_and_are_left_alone(workspace: Workspace) -> None:
    deployed(workspace, "1.2.8")
    own = f"stat -c '%U:%G %a' {ROOT}/shared"
    assert sh(workspace, own) == "tinyapp:tinyapp 755"
    sh(workspace, f"runuser -u tinyapp -- touch {ROOT}/shared/kept; chown root:adm {ROOT}/shared")
    deployed(workspace, "1.2.9")
    assert sh(workspace, own) == "root:adm 755"
    assert sh(workspace, f"ls {ROOT}/shared") == "kept"


def test_a_timer_waits_and_its_job_runs_the_new_release(workspace: Workspace) -> None:
    deployed(workspace, "1.3.0")
    assert "tinyapp-nightly.service" in sh(workspace, "systemctl list-timers tinyapp-nightly.timer")
    assert sh(workspace, "systemctl is-active tinyapp-nightly.service || true") == "inactive"
    sh(workspace, "systemctl start tinyapp-nightly.service")
    assert sh(workspace, "tail -1 /var/lib/tinyapp/report") == "1.3.0"


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_either_installer_makes_the_venv_with_bytecode(
    workspace: Workspace, installer: str
) -> None:
    dependency = wheelhouse.write_wheel(
        workspace.wheels, wheelhouse.Recipe("dep", files={"dep.py": "ANSWER = 42\n"})
    )
    workspace.lock(dependency)
    version = {"uv": "1.4.0", "pip": "1.4.1"}[installer]
    workspace.wheel(version, requires=["dep"])
    workspace.playbook(version, installer=installer)
    done = workspace.shipit("deploy")
    workspace.lock()
    assert done.status == 0, done.output
    assert workspace.versions()["web1"] == version
    venv = f"{ROOT}/current/venv"
    assert sh(workspace, f"{venv}/bin/python -c 'import dep; print(dep.ANSWER)'") == "42"
    compiled = sh(workspace, f"find {venv}/ -name 'dep.*.pyc' -o -name 'tinyapp.*.pyc' | wc -l")
    assert compiled == "2"
    assert json.loads(sh(workspace, f"cat {ROOT}/current/manifest.json"))["installer"] == installer


def test_only_as_many_releases_are_kept_as_asked_for(fresh_workspace: Workspace) -> None:
    workspace = fresh_workspace
    for version in ("2.0.0", "2.1.0", "2.2.0", "2.3.0"):
        deployed(workspace, version, keep_releases=2)
    assert [name.split("-")[0] for name in sh(workspace, f"ls {ROOT}/releases").split()] == [
        "2.2.0",
        "2.3.0",
    ]
    history = workspace.asked("releases")["web1"]["releases"]
    present = {line["version"]: line["present"] for line in history}
    assert present == {"2.0.0": False, "2.1.0": False, "2.2.0": True, "2.3.0": True}
    gone = workspace.shipit("rollback", "--to", "2.0.0")
    assert gone.status == 3
    assert "no verified release 2.0.0" in gone.output


@pytest.fixture
def fresh_workspace(lab: Lab, tmp_path: Path) -> Workspace:
    """Clean hosts; the module's other tests don't mind, as each deploys what it needs."""
    lab.reset("web1")
    return Workspace.set(tmp_path, lab, hosts=["web1"])


def test_an_older_version_can_be_deployed_again(workspace: Workspace) -> None:
    deployed(workspace, "3.0.0")
    first = workspace.asked("status")["web1"]["release"]
    deployed(workspace, "3.1.0")
    workspace.playbook("3.0.0")
    assert workspace.asked("plan")["web1"]["action"] == "switch"
    done = workspace.shipit("deploy", "--json", "--allow-older")
    assert done.status == 0, done.output
    assert done.reported("sent") == []
    assert workspace.versions()["web1"] == "3.0.0"
    assert workspace.asked("status")["web1"]["release"] == first
    assert workspace.shipit("rollback").status == 0  # to the previous release, whatever its version
    assert workspace.versions()["web1"] == "3.1.0"


def test_a_plan_touches_nothing_and_is_what_the_deploy_then_does(workspace: Workspace) -> None:
    deployed(workspace, "4.0.0", env={"GREETING": "hello", "OLD": "1"})
    workspace.wheel("4.1.0")
    services = {**WEB, "extra": {"command": "tinyapp-worker"}}
    workspace.playbook("4.1.0", env={"GREETING": "hi", "NEW": "1"}, services=services)
    before, runs_before = files_of(workspace), invocations(workspace)
    plan = workspace.asked("plan")["web1"]
    shown = workspace.shipit("plan", "--diff")
    checked = workspace.shipit("deploy", "--check", "--diff")
    assert (shown.status, checked.status) == (0, 0)
    assert checked.out == shown.out
    assert files_of(workspace) == before
    assert invocations(workspace) == runs_before
    for words in ("~ tinyapp 4.0.0 -> 4.1.0", "+ units/tinyapp-extra.service", "~ web: GREETING"):
        assert words in shown.out
    assert "+ExecStart=" in shown.out
    assert "hello" not in shown.out  # values are never shown

    done = workspace.shipit("deploy", "--json")
    assert done.status == 0, done.output
    check_that_it_did(workspace, plan, done.result["hosts"]["web1"]["release"])
    assert sum(line["total"] for line in done.reported("sent")) == plan["missing_bytes"]
    runs = invocations(workspace)
    started = {unit for unit, run in runs.items() if run and run != runs_before.get(unit)}
    assert started == set(plan["restarts"])


def check_that_it_did(workspace: Workspace, plan: dict[str, Any], release: str) -> None:
    assert (plan["action"], plan["release"]) == ("deploy", release)
    assert [(p["name"], p["old"], p["new"]) for p in plan["packages"]] == [
        ("tinyapp", "4.0.0", "4.1.0")
    ]
    units = {change["path"]: change["kind"] for change in plan["texts"]}
    installed = sh(workspace, "cd /etc/systemd/system && ls tinyapp-*.*").split()
    assert {f"units/{name}" for name in installed} == {
        path for path, kind in units.items() if kind != "removed"
    } | {"units/tinyapp-web.socket"}  # it stays as it is
    assert units["units/tinyapp-worker.service"] == "removed"
    keys = {(e["service"], e["key"], e["kind"]) for e in plan["env"] if e["service"] == "web"}
    assert keys == {
        ("web", "GREETING", "changed"),
        ("web", "NEW", "added"),
        ("web", "OLD", "removed"),
    }


def test_logs_are_those_of_the_apps_units(workspace: Workspace) -> None:
    deployed(workspace, "5.0.0")
    done = workspace.shipit("logs", "-n", "50", "-s", "worker")
    assert done.status == 0
    assert "web1" in done.out
    assert "tinyapp-worker.service" in done.out
    assert "tinyapp-web.service" not in done.out


def test_logs_are_followed_until_ctrl_c(workspace: Workspace) -> None:
    deployed(workspace, "5.1.0")
    process = workspace.start("logs", "-f", "-n", "0", "--json")
    assert process.stdout is not None
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.2):
            workspace.serves("web1", "/not-there")

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        with alarm(process):
            line = next(line for line in process.stdout if "/not-there" in line)
            process.send_signal(signal.SIGINT)
            rest, err = process.communicate()
    finally:
        over.set()
        asking.join()
    assert json.loads(line)["host"] == "web1"
    assert process.returncode == 130, rest + err
    assert "Traceback" not in rest + err
    assert json.loads(rest.splitlines()[-1])["outcome"] == "interrupted"

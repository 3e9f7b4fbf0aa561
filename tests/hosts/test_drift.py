"""Every kind of drift has a way out that works: do what `status` says, and it is gone."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from hosts.workspace import Done, Workspace, all_in, ended, heard
from shipit.agent.protocol.answers import OTHERS, REBUILT, SWITCHED
from shipit.agent.protocol.rules import generations
from wheelhouse import Recipe, write_wheel

if TYPE_CHECKING:
    from shipit.lab.lab import Lab

HOST = "web1"
INTERRUPTED = 130
LEFT = 3  # of one release: the running one, the previous one, and one that failed
TOP = "/opt/tinyapp/current"
UNITS = "/etc/systemd/system"
PACKAGES = f"$(echo {TOP}/venv/lib/python3*/site-packages)"
PACKAGE = f"{PACKAGES}/dep.py"
WHEELS = "/var/lib/shipit/wheels"
RELEASED = f"$(readlink -f {TOP})"
ENV = f"{RELEASED}/env"
RUNNING = f"readlink {TOP}"
REPLACED = "cp $f /tmp/x; echo '# edited' >> /tmp/x; mv /tmp/x $f"
PUT_BACK = "cp -p $f /tmp/x; echo '# edited' >> $f; touch -r /tmp/x $f"


def blob(name: str) -> str:
    return f"$(realpath $(find {WHEELS}/ -name '{name}-*.whl' | head -n1))"


# By what has drifted: each line makes a host drift, and what `status` reports of it: the code and
# the end of the path, by which it is one of those that one deploy repairs together.
DRIFTS = {
    "modules": [
        (f"echo '# edited' >> {PACKAGE}", "file-changed", "/dep.py"),
        (f"f={PACKAGES}/replaced.py; {REPLACED}", "file-changed", "/replaced.py"),
        (f"f={PACKAGES}/put_back.py; {PUT_BACK}", "file-changed", "/put_back.py"),
        (f"rm {PACKAGES}/removed.py", "file-missing", "/removed.py"),
        (f"echo 'x = 1' > {PACKAGES}/http.py", "file-added", "/http.py"),  # shadows another
        (f"ln -s /usr/lib {PACKAGES}/json", "file-added", "/json"),
    ],
    "an interpreter that is gone": [
        (f"ln -sfn /nowhere {TOP}/venv/bin/python", "interpreter-gone", "/python")
    ],
    "another interpreter": [
        (f"ln -sfn /bin/true {TOP}/venv/bin/python", "interpreter-changed", "/python")
    ],
    "a venv that is none": [(f"rm {TOP}/venv/pyvenv.cfg", "venv-missing", "/venv")],
    "a wheel that is gone": [(f"rm {blob('dep')}", "blob-damaged", "")],
    "a wheel whose bytes rot": [
        (
            f"printf x | dd of={blob('dep')} bs=1 seek=40 conv=notrunc status=none",
            "blob-damaged",
            "",
        )
    ],
    "a manifest that is gone": [
        (f"rm {TOP}/manifest.json", "manifest-missing", "/manifest.json"),
    ],
    "another manifest": [(f"echo >> {TOP}/manifest.json", "manifest-changed", "/manifest.json")],
    "texts": [
        (f"echo '# edited' >> {TOP}/files/edited.ini", "text-changed", "/edited.ini"),
        (f"chmod 666 {TOP}/files/open.ini", "text-changed", "/open.ini"),
        (f"rm {TOP}/files/removed.ini", "text-missing", "/removed.ini"),
    ],
    "units": [
        (
            f"echo '# edited' >> {UNITS}/tinyapp-worker.service; systemctl daemon-reload",
            "unit-changed",
            "/tinyapp-worker.service",
        ),
        (f"rm {UNITS}/tinyapp-nightly.timer", "unit-missing", "/tinyapp-nightly.timer"),
    ],
    "env files": [
        (f"sed -i s/hello/bye/ {ENV}/web.env", "env-changed", "/web.env"),
        (f"echo '# x' >> {ENV}/worker.env", "env-changed", "/worker.env"),
        (f"rm {ENV}/nightly.env", "env-missing", "/nightly.env"),
    ],
    "secrets for everybody to read": [(f"chmod 644 {ENV}/web.env", "env-readable", "/web.env")],
    "current that leads elsewhere": [(f"ln -sfn /tmp {TOP}", "current-moved", "/current")],
    "a service that was stopped": [
        ("systemctl stop tinyapp-worker", "unit-not-running", "tinyapp-worker.service")
    ],
}
MODULES = ("dep", "replaced", "put_back", "removed")
TEXTS = ("edited.ini", "open.ini", "removed.ini")
DROP_IN = f"{UNITS}/tinyapp-worker.service.d/nice.conf"


@pytest.fixture(scope="module")
def workspace(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Give web1 with two releases on it, the second of which runs."""
    lab.reset()
    workspace = Workspace.set(tmp_path_factory.mktemp("drift"), lab, hosts=[HOST])
    workspace.handover = "overlap"
    files = {f"{name}.py": "x = 1\n" for name in MODULES}
    workspace.lock(write_wheel(workspace.wheels, Recipe("dep", files=files)))
    for name in TEXTS:
        (workspace.folder / name).write_text("[app]\n")
    for version in ("1.0.0", "1.1.0"):
        assert deploy(workspace, version).status == 0
    return workspace


AGAIN = ("--override-hold", "-m", "it was rolled back to see what a rollback does")


def deploy(workspace: Workspace, version: str, *words: str, fault: str = "") -> Done:
    files = [{"dest": name, "src": name} for name in TEXTS]
    workspace.wheel(version, fault, ["dep"])
    workspace.playbook(version, files=files)
    return workspace.shipit("deploy", "--json", *words)


def outcome(done: Done) -> str:
    return str(done.result["hosts"][HOST]["outcome"])


def status(workspace: Workspace) -> dict[str, Any]:
    return workspace.asked("status")[HOST]


def codes(workspace: Workspace) -> set[str]:
    return {each["code"] for each in status(workspace)["drifts"]}


def is_of(drift: dict[str, Any], code: str, path: str) -> bool:
    return bool(drift["code"] == code and drift["path"].endswith(path))


def is_well(workspace: Workspace) -> bool:
    seen = status(workspace)
    assert (seen["drift"], seen["drifts"], seen["stuck"]) == ([], [], "")
    assert workspace.serves(HOST)["version"] == seen["version"]
    assert outcome(workspace.shipit("deploy", "--json")) == "unchanged"
    return True


def test_every_kind_of_drift_that_a_deploy_fixes_is_tested_here() -> None:
    made = {code for changes in DRIFTS.values() for _, code, _ in changes}
    assert made >= (REBUILT | SWITCHED) - {"package-missing"}
    assert {"drop-in", "unit-not-reloaded", "adopted-moved"} == OTHERS


@pytest.mark.parametrize("name", DRIFTS)
def test_the_hint_of_status_fixes_the_drift(workspace: Workspace, name: str) -> None:
    before = workspace.sh(HOST, RUNNING)  # what was well in the end of the test before
    for make, _, _ in DRIFTS[name]:
        workspace.sh(HOST, make)
    drifts = status(workspace)["drifts"]
    repairs = workspace.asked("plan")[HOST]
    for _, code, path in DRIFTS[name]:
        (found,) = [each for each in drifts if is_of(each, code, path)]
        assert "shipit deploy PLAYBOOK" in found["hint"]
        assert code in SWITCHED or any(is_of(each, code, path) for each in repairs["repairs"])
    is_rebuilt = any(code in REBUILT for _, code, _ in DRIFTS[name])
    assert repairs["action"] == ("deploy" if is_rebuilt else "switch")
    done = workspace.shipit("deploy", "--json")
    assert (done.status, outcome(done)) == (0, "committed"), done.output
    assert is_well(workspace)
    assert (workspace.sh(HOST, RUNNING) == before) is not is_rebuilt
    assert workspace.sh(HOST, "systemctl list-units --no-legend 'tinyapp-web@*' | wc -l") == "1"


def test_a_drop_in_survives_a_deploy_and_is_removed_by_the_hint_of_status(
    workspace: Workspace,
) -> None:
    assert is_well(workspace)
    workspace.sh(HOST, f"mkdir -p $(dirname {DROP_IN}); printf '[Service]\\nNice=5\\n' > {DROP_IN}")
    workspace.sh(HOST, "systemctl daemon-reload")
    (drift,) = status(workspace)["drifts"]
    assert (drift["code"], drift["path"]) == ("drop-in", DROP_IN)
    assert f"rm {DROP_IN} and systemctl daemon-reload on the host" in drift["hint"]
    assert outcome(workspace.shipit("deploy", "--json")) == "unchanged"
    assert codes(workspace) == {"drop-in"}
    workspace.sh(
        HOST, f"rm {DROP_IN} && systemctl daemon-reload && systemctl restart tinyapp-worker"
    )
    assert is_well(workspace)


def test_a_unit_that_systemd_has_not_reloaded_is_fixed_by_the_hint_of_status(
    workspace: Workspace,
) -> None:
    assert is_well(workspace)
    workspace.sh(HOST, f"touch -d '+1 minute' {UNITS}/tinyapp-worker.service")
    (drift,) = status(workspace)["drifts"]
    assert (drift["code"], drift["hint"]) == (
        "unit-not-reloaded",
        "systemctl daemon-reload on the host",
    )
    workspace.sh(HOST, "systemctl daemon-reload")
    assert is_well(workspace)


def test_an_interrupted_repair_keeps_the_running_release_and_the_next_works(
    workspace: Workspace,
) -> None:
    before = status(workspace)["release"]
    workspace.sh(HOST, f"echo '# edited' >> {PACKAGE}")
    process = workspace.start("deploy", "--json")
    heard(process, all_in("check", [HOST]))
    process.send_signal(signal.SIGINT)
    assert ended(process).status == INTERRUPTED
    assert (status(workspace)["release"], codes(workspace)) == (before, {"file-changed"})
    assert workspace.serves(HOST)["status"] == "ok"
    assert outcome(workspace.shipit("deploy", "--json")) == "committed"
    assert is_well(workspace)


def test_a_rollback_skips_the_rebuilt_releases(workspace: Workspace) -> None:
    kept = workspace.sh(HOST, "ls /opt/tinyapp/releases").split()
    made = [name for name in kept if name.startswith("1.1.0-")]
    assert len(made) <= LEFT, kept
    done = workspace.shipit("rollback", "--json")
    assert (done.status, status(workspace)["version"]) == (0, "1.0.0"), done.output
    assert outcome(deploy(workspace, "1.1.0", *AGAIN)) == "committed"
    assert status(workspace)["release"] == max(made, key=generations.number)
    assert is_well(workspace)


def test_a_rollback_to_a_drifted_release_is_refused_and_a_deploy_of_it_works(
    workspace: Workspace,
) -> None:
    older = workspace.sh(HOST, "ls -d /opt/tinyapp/releases/1.0.0-*")
    workspace.sh(HOST, f"ln -sfn /nowhere {older}/venv/bin/python")
    done = workspace.shipit("rollback", "--json")
    (result,) = done.result["hosts"].values()
    assert (done.status, result["problem"]["code"]) == (3, "release-damaged"), done.output
    assert "shipit deploy PLAYBOOK --allow-older" in result["problem"]["hint"]
    done = deploy(workspace, "1.0.0", "--allow-older")
    assert (done.status, outcome(done)) == (0, "committed"), done.output
    assert is_well(workspace)

"""Hooks on real hosts: where and as whom they run, what they see, and what becomes of a failure."""

from __future__ import annotations

import shlex
import signal
from typing import TYPE_CHECKING, Any

import pytest

from hosts.site import HOSTS, at_rest
from hosts.workspace import SECRET, Done, Workspace, ended, heard, stopped
from patience import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hosts.workspace import Process
    from shipit.lab.lab import Lab

UNIT = "shipit-hook.tinyapp.service"
DIARY = "/var/lib/tinyapp/diary"
PATIENCE = 60.0  # seconds
HOST_POINTS = ("staged", "before_activate", "after_activate", "before_commit", "after_commit")
SLEEP = "echo $SHIPIT_HOOK >> $STATE_DIRECTORY/diary; sleep 200"


def hook(when: str, script: str, **rest: object) -> dict[str, Any]:
    return {"when": when, "command": f"/bin/sh -c {shlex.quote(script)}", **rest}


def note(when: str, **rest: object) -> dict[str, Any]:
    """Return a hook that writes its point into a diary in the state directory."""
    where = rest.get("run", "each")
    return hook(when, f"echo $SHIPIT_HOOK {where} >> $STATE_DIRECTORY/diary", **rest)


@pytest.fixture(scope="module")
def running(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Give two hosts that serve 1.0.0; each test leaves them at some release."""
    workspace = Workspace.set(tmp_path_factory.mktemp("hooks"), lab)
    workspace.begin(*HOSTS)
    return workspace


@pytest.fixture
def site(running: Workspace) -> Workspace:
    for host in HOSTS:
        running.sh(host, f"rm -f {DIARY}")
    return running


def diary(workspace: Workspace, host: str) -> list[str]:
    return workspace.sh(host, f"cat {DIARY} 2>/dev/null || true").splitlines()


def running_hooks(workspace: Workspace, host: str) -> str:
    """Return the processes of hooks on a host, and of what they have started."""
    return workspace.sh(host, f"systemctl is-active {UNIT} | grep -x active; pgrep -ax sleep; true")


def printed(done: Done) -> dict[str, list[str]]:
    """Return what hooks have printed, by host."""
    found: dict[str, list[str]] = {}
    for line in done.reported("hook-output"):
        found.setdefault(line["host"], []).append(line["text"])
    return found


def outcomes(done: Done) -> set[str]:
    return {host["outcome"] for host in done.result["hosts"].values()}


def began(*hosts: str) -> Callable[[dict[str, Any]], bool]:
    """Return a condition: a hook has begun on each of these hosts."""
    missing = set(hosts)

    def seen(event: dict[str, Any]) -> bool:
        if (event["event"], event.get("step")) == ("step-began", "hook"):
            missing.discard(event["host"])
        return not missing

    return seen


def wait_for_diary(workspace: Workspace, host: str) -> None:
    until(lambda: diary(workspace, host), lambda: workspace.sh(host, "journalctl -n 50"), PATIENCE)


# --- what they see -------------------------------------------------------------------------------


def test_the_first_deploy_runs_hooks_in_the_release_s_environment(
    fresh: Lab, tmp_path: Path
) -> None:
    workspace = Workspace.set(tmp_path, fresh)
    workspace.wheel("1.0.0")
    seen = (
        'id -un; pwd; command -v tinyapp; echo "$PASSWORD"; ls -d $STATE_DIRECTORY ../../../shared'
    )
    workspace.playbook(hooks=[hook("staged", seen), *map(note, HOST_POINTS)])
    done = workspace.shipit("deploy", "--json")
    assert done.status == 0, done.output
    release = done.result["hosts"]["web1"]["release"]
    top = f"/opt/tinyapp/releases/{release}"
    for host in HOSTS:
        assert printed(done)[host] == [
            *("tinyapp", f"{top}/files", f"{top}/venv/bin/tinyapp", "***"),
            *("../../../shared", "/var/lib/tinyapp"),
        ]
        assert diary(workspace, host) == [f"{point} each" for point in HOST_POINTS]
        assert workspace.sh(host, f"stat -c '%U %a' {DIARY} /var/lib/tinyapp") == (
            "tinyapp 640\ntinyapp 755"
        )
    assert SECRET not in done.output


def test_each_once_and_controller_run_where_they_say(site: Workspace) -> None:
    points = [*HOST_POINTS, "on_rollback"]
    hooks = [note(point, run=run) for point in points for run in ("each", "once")]
    here = "echo $SHIPIT_HOOK $SHIPIT_APP $SHIPIT_HOSTS $PASSWORD $TINYAPP_PASSWORD >> here.txt"
    hooks += [hook(point, here, run="controller") for point in ("before_stage", *points)]
    site.wheel("2.0.0")
    site.playbook("2.0.0", hooks=hooks)
    plan = site.asked("plan")["web2"]["hooks"]
    assert "once, on web1 as tinyapp" in plan[1]
    assert plan[-1].endswith("(on the controller)")
    assert "hooks" in site.shipit("plan").out
    done = site.shipit("deploy", "--json")
    assert done.status == 0, done.output
    assert diary(site, "web1") == [
        f"{point} {run}" for point in HOST_POINTS for run in ("each", "once")
    ]
    assert diary(site, "web2") == [f"{point} each" for point in HOST_POINTS]
    lines = (site.folder / "here.txt").read_text().splitlines()
    assert lines == [f"{point} tinyapp web1 web2" for point in ("before_stage", *HOST_POINTS)]
    attempt = site.asked("releases")["web1"]["attempts"][-1]
    assert [line["when"] for line in attempt["hooks"]] == [p for p in HOST_POINTS for _ in "12"]
    assert {line["outcome"] for line in attempt["hooks"]} == {"ok"}
    # What runs already is not deployed again, so nothing runs.
    assert outcomes(site.shipit("deploy", "--json")) == {"unchanged"}
    assert len(diary(site, "web2")) == len(HOST_POINTS)
    # A rollback runs only `on_rollback`, of the release that it leaves.
    back = site.shipit("rollback", "--json")
    assert back.status == 0, back.output
    assert diary(site, "web1")[-2:] == ["on_rollback each", "on_rollback once"]
    assert diary(site, "web2")[len(HOST_POINTS) :] == ["on_rollback each"]
    assert (site.folder / "here.txt").read_text().splitlines()[-1].startswith("on_rollback ")


def test_a_secret_is_in_the_environment_of_a_hook_alone(site: Workspace) -> None:
    script = (
        'test -n "$PASSWORD"; echo $PASSWORD; echo begun; echo x >> $STATE_DIRECTORY/diary; sleep 8'
    )
    site.wheel("2.1.0")
    site.playbook("2.1.0", hooks=[hook("after_activate", script), hook("after_commit", script)])
    process = site.start("deploy", "--json")
    lines = heard(process, began("web1"))
    wait_for_diary(site, "web1")
    looked = site.sh("web1", f"cat /proc/[0-9]*/cmdline | tr '\\0' ' '; systemctl show {UNIT}")
    done = ended(process, lines)
    assert done.status == 0, done.output
    assert "***" in printed(done)["web1"]
    for host in HOSTS:
        journal = site.sh(host, "journalctl --no-pager -o export")
        history = site.sh(host, "cat /opt/tinyapp/ledger.jsonl")
        events = site.sh(host, "cat /var/lib/shipit/txn/tinyapp.events")
        for text in (looked, journal, history, events, done.output):
            assert SECRET not in text
    assert "begun" in site.sh("web1", "cat /var/lib/shipit/txn/tinyapp.events")


def test_a_hook_runs_as_another_user_only_where_the_playbook_says_so(site: Workspace) -> None:
    hooks = [hook("staged", "id -un", user="daemon"), hook("staged", "id -un; id -u", user="root")]
    site.wheel("2.2.0")
    site.playbook("2.2.0", hooks=hooks)
    assert "as root" in site.shipit("plan").out
    done = site.shipit("deploy", "--json")
    assert done.status == 0, done.output
    assert printed(done)["web1"] == ["daemon", "root", "0"]


def test_hostile_output_steers_no_terminal_and_is_limited(site: Workspace) -> None:
    program = (
        "import sys; print('\\x1b]0;owned\\x07 \\x1b[2J \\u202e', flush=True);"
        "[sys.stdout.write('y' * 1023 + chr(10)) for _ in range(10240)];"
        "sys.stdout.buffer.write(b'\\xff\\xfe\\x00')"
    )
    command = f"python -c {shlex.quote(program)}"
    site.wheel("2.3.0")
    site.playbook("2.3.0", hooks=[{"when": "after_activate", "command": command}])
    done = site.shipit("deploy")
    assert done.status == 0, done.output
    assert "\x1b" not in done.output
    assert "\\x1b]0;owned\\x07" in done.out
    assert "more bytes are not shown" in done.out
    assert len(done.output) < 1_000_000
    assert int(site.sh("web1", "stat -c %s /var/lib/shipit/txn/tinyapp.events")) < 500_000


# --- failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["staged", "before_activate"])
def test_a_hook_that_fails_before_the_switch_changes_nothing(site: Workspace, when: str) -> None:
    before, pids = site.versions(), {host: site.serves(host)["pid"] for host in HOSTS}
    site.wheel("3.0.0")
    site.playbook(
        "3.0.0", hooks=[note(when), hook(when, "echo no luck; exit 7"), note("on_rollback")]
    )
    done = site.shipit("deploy", "--json")
    assert done.status == 3, done.output
    problem = done.reported("host-failed")[0]["problem"]
    assert (problem["code"], problem["step"]) == ("hook-failed", "hook")
    assert "exit status 7" in problem["what"]
    assert "no luck" in problem["evidence"]
    assert outcomes(done) == {"discarded"}
    assert site.versions() == before
    assert {host: site.serves(host)["pid"] for host in HOSTS} == pids
    assert "on_rollback each" not in diary(site, "web1")


@pytest.mark.parametrize("when", ["after_activate", "before_commit"])
def test_a_hook_that_fails_after_the_switch_rolls_all_hosts_back(
    site: Workspace, when: str
) -> None:
    before = site.versions()
    site.wheel("3.1.0")
    only_web2 = hook(when, 'test "$(cat /etc/hostname)" != web2', name="not on web2")
    broken = hook("on_rollback", "exit 9")
    site.playbook("3.1.0", hooks=[only_web2, broken, note("on_rollback")])
    done = site.shipit("deploy", "--json")
    assert done.status == 4, done.output
    assert outcomes(done) == {"rolled_back"}
    assert site.versions() == before
    for host in HOSTS:
        assert diary(site, host) == ["on_rollback each"]
    assert "exit status 9" in done.output
    failed = [it["problem"] for it in done.reported("host-failed")]
    assert any("the hook not on web2" in it["what"] for it in failed)


def test_a_hook_that_fails_after_the_commit_is_reported_alone(site: Workspace) -> None:
    site.wheel("3.2.0")
    site.playbook("3.2.0", hooks=[hook("after_commit", "exit 7"), note("after_commit")])
    done = site.shipit("deploy", "--json")
    assert done.status == 0, done.output
    assert outcomes(done) == {"committed"}
    notes = [line["text"] for line in done.reported("noted", host="web1")]
    assert any("exit status 7" in text and "hook-failed" in text for text in notes)
    assert diary(site, "web1") == ["after_commit each"]
    assert set(site.versions().values()) == {"3.2.0"}


def test_a_hook_of_the_controller_that_fails_takes_the_deploy_back(site: Workspace) -> None:
    before = site.versions()
    site.wheel("3.3.0")
    failing = hook("before_commit", "echo why not; exit 5", run="controller")
    site.playbook("3.3.0", hooks=[failing, note("on_rollback")])
    done = site.shipit("deploy", "--json")
    assert done.status == 4, done.output
    assert site.versions() == before
    problem = done.reported("host-failed")[0]["problem"]
    assert (problem["host"], problem["code"]) == ("controller", "hook-failed")


@pytest.mark.parametrize("when", ["staged", "after_activate"])
def test_the_end_of_its_time_kills_all_its_processes(site: Workspace, when: str) -> None:
    before = site.versions()
    site.wheel("3.4.0")
    script = "(trap '' TERM; setsid sleep 250 & sleep 250) & sleep 250"
    site.playbook("3.4.0", hooks=[hook(when, script, timeout="2s")])
    done = site.shipit("deploy", "--json")
    assert done.status in (3, 4), done.output
    assert done.reported("host-failed")[0]["problem"]["code"] == "hook-timeout"
    for host in HOSTS:
        assert running_hooks(site, host) == ""
    assert site.versions() == before


# --- what dies -----------------------------------------------------------------------------------


def deploying(site: Workspace, version: str, **changes: object) -> Process:
    """Start a deploy, and wait until a hook runs on both hosts."""
    site.wheel(version)
    site.playbook(version, **changes)
    process = site.start("deploy", "--json")
    heard(process, began(*HOSTS))
    for host in HOSTS:
        wait_for_diary(site, host)
    return process


@pytest.mark.parametrize(
    ("when", "outcome"),
    [("staged", "discarded"), ("before_activate", "discarded"), ("before_commit", "rolled_back")],
)
def test_a_controller_that_dies_amid_a_hook_leaves_the_old_release(
    site: Workspace, when: str, outcome: str
) -> None:
    before = site.versions()
    process = deploying(site, "4.0.0", hooks=[hook(when, SLEEP)], confirm_timeout="3s")
    stopped(process)
    for host in HOSTS:
        until(lambda host=host: not running_hooks(site, host), lambda: "", PATIENCE)  # type: ignore[misc]
    at_rest(site.lab)
    assert site.versions() == before
    for host in HOSTS:
        last = site.asked("releases")[host]["attempts"][-1]
        assert last["outcome"] == outcome
        assert diary(site, host) == [when]
        assert [line["when"] for line in last["hooks"]] == [when]
        assert last["hooks"][0]["outcome"] != "ok"


def test_an_interrupt_ends_a_running_hook(site: Workspace) -> None:
    before = site.versions()
    site.wheel("4.1.0")
    site.playbook("4.1.0", hooks=[hook("after_activate", SLEEP)])
    process = site.start_cold("deploy", "--json")
    lines = heard(process, began(*HOSTS))
    process.send_signal(signal.SIGINT)
    done = ended(process, lines)
    assert done.status == 130, done.output
    assert outcomes(done) == {"rolled_back"}
    assert site.versions() == before
    assert running_hooks(site, "web1") == ""


@pytest.mark.parametrize(
    ("when", "outcome"),
    [
        ("before_activate", "discarded"),
        ("after_activate", "rolled_back"),
        ("before_commit", "rolled_back"),
        ("after_commit", "committed"),
    ],
)
def test_an_agent_that_dies_amid_a_hook_never_runs_it_again(
    site: Workspace, when: str, outcome: str
) -> None:
    before = site.versions()
    version = (
        f"4.2.{('before_activate', 'after_activate', 'before_commit', 'after_commit').index(when)}"
    )
    process = deploying(site, version, hooks=[hook(when, SLEEP), note("after_commit")])
    for host in HOSTS:
        site.sh(host, "kill -KILL $(systemctl show -p MainPID --value shipit-tinyapp.service)")
    done = ended(process)
    at_rest(site.lab)
    for host in HOSTS:
        assert running_hooks(site, host) == ""
        assert diary(site, host)[0] == when
        assert diary(site, host).count(when) == 1
        last = site.asked("releases")[host]["attempts"][-1]
        assert last["outcome"] == outcome
        assert last["hooks"][0]["outcome"] == "interrupted"
    assert "hook-interrupted" in done.output
    assert site.versions() == (before if outcome != "committed" else dict.fromkeys(HOSTS, version))


def test_an_agent_that_dies_amid_a_hook_while_it_stages_leaves_nothing(site: Workspace) -> None:
    before = site.versions()
    process = deploying(site, "4.3.0", hooks=[hook("staged", SLEEP)])
    for host in HOSTS:
        site.sh(host, "pkill -KILL -f '[s]hipit-boot|[s]hipit/agent/.*[.]pyz'")
    ended(process)
    site.playbook("1.0.0")
    for host, found in site.asked("status").items():
        assert found["stuck"] == "", host
    again = site.shipit("deploy", "--allow-older", "--json")
    assert again.status == 0, again.output
    for host in HOSTS:
        assert running_hooks(site, host) == ""
        assert diary(site, host) == ["staged"]
    assert before


def test_a_power_cut_amid_a_hook_rolls_back_at_boot(site: Workspace) -> None:
    before = site.versions()
    process = deploying(site, "4.4.0", hooks=[hook("before_commit", SLEEP)])
    site.lab.power_cut("web1")
    site.lab.boot("web1", timeout=180)
    stopped(process)
    at_rest(site.lab)
    assert site.versions() == before
    assert diary(site, "web1") == ["before_commit"]

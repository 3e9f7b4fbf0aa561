"""One deploy at a time on a host: who comes second is told whose turn it is, and may wait.

The first deploy is held up where the test wants it: in its staging by a smoke command that takes
its time, or after the switch by a gate that does.
"""

from __future__ import annotations

import getpass
import json
import socket
import time
from typing import TYPE_CHECKING

import pytest

from hosts.scene import PORT, Scene
from hosts.site import HOSTS, Site, problems

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from shipit.lab import Lab

PATIENCE = 60.0  # seconds
LONG = "6s"
WHO = f"{getpass.getuser()}@{socket.gethostname()}"
HEALTH = {"checks": [{"tcp": f"127.0.0.1:{PORT}"}], "deadline": "20s"}
IN_STAGING = {"smoke": f"/bin/sleep {LONG[:-1]}"}
IN_GATE = {"health": {**HEALTH, "min_healthy": LONG}}


@pytest.fixture(scope="module")
def deployed(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Site:
    lab.reset()
    site = Site(Scene.set(tmp_path_factory.mktemp("locks"), lab))
    site.accepts()
    return site


@pytest.fixture
def site(deployed: Site) -> Iterator[Site]:
    yield deployed
    deployed.mend()
    deployed.accepts()


def begun(site: Site, step: str, *words: str, **changes: object) -> subprocess.Popen[str]:
    """Start a deploy of something new; return when every host has begun with the step."""
    site.wants(**changes)
    first = site.scene.start("deploy", "--json", *words)
    assert first.stdout is not None
    missing, told = set(HOSTS), []
    while missing:
        line = first.stdout.readline()
        told.append(line)
        assert line, "".join(told)
        event = json.loads(line)
        if event["event"] == "step-began" and event["step"] == step:
            missing.discard(event["host"])
    return first


def ended(first: subprocess.Popen[str]) -> int:
    first.communicate(timeout=PATIENCE)
    return first.returncode


@pytest.mark.parametrize(("step", "slow"), [("smoke", IN_STAGING), ("check", IN_GATE)])
def test_the_second_is_told_whose_lock_it_is_and_changes_nothing(
    site: Site, step: str, slow: dict[str, object]
) -> None:
    first = begun(site, step, "--reason", "the big one", **slow)
    version = f"1.0.{site.number}"
    site.wants()
    refused = f"1.0.{site.number}"
    done = site.scene.shipit("deploy", "--json")
    assert first.poll() is None, "the first deploy ended too early for this test"
    assert done.status == 3, done.said
    for host in HOSTS:
        (problem,) = [each for each in problems(done) if each["host"] == host]
        assert problem["code"] == "locked"
        for word in ("tinyapp is held by a deploy", WHO, "the big one", "for ", " s, in "):
            assert word in problem["what"], problem
        assert "wait" in problem["hint"]
    assert ended(first) == 0
    assert site.scene.versions() == dict.fromkeys(HOSTS, version)
    for host, answer in site.scene.asked("releases").items():
        assert refused not in [line["version"] for line in answer["releases"]]
        assert refused not in site.scene.sh(host, "ls /opt/tinyapp/releases")


@pytest.mark.parametrize(("step", "slow"), [("smoke", IN_STAGING), ("check", IN_GATE)])
def test_the_second_may_wait_for_the_first(site: Site, step: str, slow: dict[str, object]) -> None:
    first = begun(site, step, **slow)
    site.wants()
    done = site.scene.shipit("deploy", "--lock-wait", "30s")
    assert (ended(first), done.status) == (0, 0), done.said
    assert site.scene.versions() == dict.fromkeys(HOSTS, f"1.0.{site.number}")


def test_waiting_ends_when_it_was_said_to(site: Site) -> None:
    first = begun(site, "check", health={**HEALTH, "min_healthy": "8s"})
    site.wants()
    began = time.monotonic()
    done = site.scene.shipit("deploy", "--json", "--lock-wait", "1s")
    assert first.poll() is None
    assert {each["code"] for each in problems(done)} == {"locked"}, done.said
    assert (done.status, time.monotonic() - began > 1.0) == (3, True)
    assert ended(first) == 0


def test_questions_are_answered_and_a_rollback_is_refused_meanwhile(site: Site) -> None:
    old = site.runs
    first = begun(site, "smoke", **IN_STAGING)
    status = site.scene.asked("status")
    assert {name: host["version"] for name, host in status.items()} == dict.fromkeys(HOSTS, old)
    done = site.scene.shipit("rollback", "--json")
    assert {each["code"] for each in problems(done)} & {"locked"}, done.said
    assert first.poll() is None
    assert done.status == 3
    assert ended(first) == 0


def test_a_lock_on_one_host_keeps_all_hosts_as_they_are(site: Site) -> None:
    old = site.runs
    site.wants(**IN_STAGING)
    first = begun_on(site, "web2")
    site.wants()
    done = site.scene.shipit("deploy", "--json")
    assert first.poll() is None
    assert done.status == 3, done.said
    assert [each["host"] for each in problems(done) if each["code"] == "locked"] == ["web2"]
    assert site.scene.serves("web1")["version"] == old
    assert ended(first) == 0
    assert site.scene.serves("web1")["version"] == old


def begun_on(site: Site, name: str) -> subprocess.Popen[str]:
    first = site.scene.start("deploy", "--json", "--limit", name)
    assert first.stdout is not None
    for line in first.stdout:
        event = json.loads(line)
        if event["event"] == "step-began" and event["step"] == "smoke":
            return first
    raise AssertionError("it never got to its smoke command")


def test_a_controller_killed_in_its_staging_leaves_no_lock(site: Site) -> None:
    first = begun(site, "smoke", **IN_STAGING)
    first.kill()
    ended(first)
    site.wants()
    done = site.scene.shipit("deploy", "--lock-wait", "10s")
    assert done.status == 0, done.said
    assert site.scene.versions() == dict.fromkeys(HOSTS, f"1.0.{site.number}")


def test_a_controller_killed_after_the_switch_leaves_no_lock_beyond_its_lease(site: Site) -> None:
    slow = {"health": {**HEALTH, "deadline": "60s", "min_healthy": "30s"}}
    first = begun(site, "check", **slow, confirm_timeout="5s")
    first.kill()
    ended(first)
    site.wants()
    done = site.scene.shipit("deploy", "--lock-wait", "40s")
    assert done.status == 0, done.said
    assert site.scene.versions() == dict.fromkeys(HOSTS, f"1.0.{site.number}")


def test_of_two_at_the_same_moment_one_or_none_wins_and_nothing_is_mixed(site: Site) -> None:
    old = site.runs
    site.wants(**IN_STAGING)
    one, one_version = site.scene.start("deploy", "--json"), f"1.0.{site.number}"
    # Both read the same playbook: it is the same release, wanted twice.
    two = site.scene.start("deploy", "--json")
    statuses = sorted((ended(one), ended(two)))
    assert statuses in ([0, 0], [0, 3], [3, 3])
    wanted = one_version if 0 in statuses else old
    assert site.scene.versions() == dict.fromkeys(HOSTS, wanted)


def test_another_app_on_the_same_hosts_is_not_kept_waiting(site: Site) -> None:
    first = begun(site, "smoke", **IN_STAGING)
    site.wants(
        app="other",
        services={"web": {"command": "tinyapp", "socket": PORT + 1}},
        health={"checks": [{"tcp": f"127.0.0.1:{PORT + 1}"}], "min_healthy": "100ms"},
    )
    done = site.scene.shipit("deploy")
    assert first.poll() is None
    assert done.status == 0, done.said
    assert ended(first) == 0
    for host in HOSTS:
        site.undo.callback(_remove_other, site, host)


def _remove_other(site: Site, host: str) -> None:
    site.scene.sh(
        host,
        "systemctl disable --now other-web.socket other-web.service; "
        "rm -rf /opt/other /etc/systemd/system/other-*; systemctl daemon-reload",
    )

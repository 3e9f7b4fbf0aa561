"""One deploy at a time on a host: who comes second learns whose turn it is, and may wait.

The first deploy is held up where the test wants it, and for as long: in its staging by a smoke
command, after the switch by a health check. Both wait for a file to be removed. One host is enough
where the promise is about a host; the last tests are about several.
"""

from __future__ import annotations

import getpass
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from hosts.site import Site, problems
from hosts.workspace import PORT, all_in, ended, heard, stopped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hosts.warm import Command

WAIT = "100s"  # for a lock that will be free
HELD = "/run/held"
WHO = f"{getpass.getuser()}@{socket.gethostname()}"
IN_STAGING = {"smoke": f"/bin/sh -c 'while test -e {HELD}; do sleep 0.05; done'"}
IS_FREE = [{"command": f"test ! -e {HELD}"}]
IN_GATE = {"health": {"checks": IS_FREE, "deadline": "600s", "interval": "1s"}}


@pytest.fixture
def site(one_host: Site) -> Iterator[Site]:
    """Give one host; that no lock is left is seen by the next test, whose deploy has to get it."""
    yield one_host
    one_host.settle()


@pytest.fixture
def two_hosts(deployed: Site) -> Iterator[Site]:
    """Give two of them."""
    yield deployed
    deployed.settle()


def begun(site: Site, step: str, *words: str, **changes: object) -> Command:
    """Start a deploy of something new; return when every host is held in the step."""
    return begun_on(site.hosts, site, step, *words, **changes)


def begun_on(
    hosts: Sequence[str], site: Site, step: str, *words: str, **changes: object
) -> Command:
    for host in site.hosts:
        site.spoil(host, f"touch {HELD}", f"rm -f {HELD}")
    site.wants(**changes)
    first = site.workspace.start("deploy", "--json", *words)
    site.undo.callback(stopped, first)
    heard(first, all_in(step, hosts))
    return first


def let_go(site: Site) -> None:
    for host in site.hosts:
        site.workspace.sh(host, f"rm -f {HELD}")


@pytest.mark.parametrize(("step", "slow"), [("smoke", IN_STAGING), ("check", IN_GATE)])
def test_the_second_deploy_reports_the_lock_owner_and_changes_nothing(
    site: Site, step: str, slow: dict[str, object]
) -> None:
    first = begun(site, step, "--reason", "the big one", **slow)
    version = f"1.0.{site.number}"
    site.wants()
    refused = f"1.0.{site.number}"
    done = site.workspace.shipit("deploy", "--json")
    assert first.poll() is None, "the first deploy ended too early for this test"
    assert done.status == 3, done.output
    let_go(site)
    for host in site.hosts:
        (problem,) = [each for each in problems(done) if each["host"] == host]
        assert problem["code"] == "locked"
        for word in ("tinyapp is held by a deploy", WHO, "the big one", "for ", " s, in "):
            assert word in problem["what"], problem
        assert "wait" in problem["hint"]
    assert ended(first).status == 0
    assert site.workspace.versions() == dict.fromkeys(site.hosts, version)
    for host, answer in site.workspace.asked("releases").items():
        assert refused not in [line["version"] for line in answer["releases"]]
        assert refused not in site.workspace.sh(host, "ls /opt/tinyapp/releases")


@pytest.mark.parametrize(("step", "slow"), [("smoke", IN_STAGING), ("check", IN_GATE)])
def test_the_second_may_wait_for_the_first(site: Site, step: str, slow: dict[str, object]) -> None:
    first = begun(site, step, **slow)
    site.wants()
    later = threading.Timer(3.0, let_go, [site])  # most likely the second waits by then
    later.start()
    done = site.workspace.shipit("deploy", "--lock-wait", WAIT)
    later.join()
    assert (ended(first).status, done.status) == (0, 0), done.output
    assert site.workspace.versions() == dict.fromkeys(site.hosts, f"1.0.{site.number}")


def test_a_rollback_that_waits_does_not_leave_a_release_it_has_not_seen(site: Site) -> None:
    """Else it would go back two: past the one that the first has just replaced."""
    site.accepts()
    first = begun(site, "check", **IN_GATE)
    version = f"1.0.{site.number}"
    second = site.workspace.start("rollback", "--json", "--lock-wait", WAIT)
    site.undo.callback(stopped, second)
    output = heard(second, lambda event: event["event"] == "batch-began")  # it is decided by then
    let_go(site)
    done = ended(second, output)
    assert (ended(first).status, done.status) == (0, 3), done.output
    assert {each["code"] for each in problems(done)} == {"changed-meanwhile"}
    assert site.workspace.versions() == dict.fromkeys(site.hosts, version)


def test_waiting_ends_at_its_timeout(site: Site) -> None:
    first = begun(site, "check", **IN_GATE)
    site.wants()
    began = time.monotonic()
    done = site.workspace.shipit("deploy", "--json", "--lock-wait", "1s")
    assert first.poll() is None
    assert {each["code"] for each in problems(done)} == {"locked"}, done.output
    assert (done.status, time.monotonic() - began > 1.0) == (3, True)
    let_go(site)
    assert ended(first).status == 0


def test_questions_are_answered_and_a_rollback_is_refused_meanwhile(site: Site) -> None:
    old = site.runs
    first = begun(site, "smoke", **IN_STAGING)
    status = site.workspace.asked("status")
    assert {name: host["version"] for name, host in status.items()} == dict.fromkeys(
        site.hosts, old
    )
    done = site.workspace.shipit("rollback", "--json")
    assert {each["code"] for each in problems(done)} & {"locked"}, done.output
    assert first.poll() is None
    assert done.status == 3
    let_go(site)
    assert ended(first).status == 0


def test_a_controller_killed_in_its_staging_leaves_no_lock(site: Site) -> None:
    stopped(begun(site, "smoke", **IN_STAGING))
    site.wants()
    done = site.workspace.shipit("deploy", "--lock-wait", "50s")  # the smoke command has 60 s
    assert done.status == 0, done.output
    assert site.workspace.versions() == dict.fromkeys(site.hosts, f"1.0.{site.number}")


def test_a_controller_killed_after_the_switch_leaves_no_lock_beyond_its_lease(site: Site) -> None:
    stopped(begun(site, "check", **IN_GATE, confirm_timeout="20s"))
    site.wants()
    done = site.workspace.shipit("deploy", "--lock-wait", WAIT)  # the gate has 600 s
    assert done.status == 0, done.output
    assert site.workspace.versions() == dict.fromkeys(site.hosts, f"1.0.{site.number}")


def test_another_app_on_the_same_host_is_not_kept_waiting(site: Site) -> None:
    first = begun(site, "check", **IN_GATE)
    site.wants(
        app="other",
        services={"web": {"command": "tinyapp", "socket": PORT + 1, "handover": "restart"}},
        health={"checks": [{"tcp": f"127.0.0.1:{PORT + 1}"}], "min_healthy": "100ms"},
    )
    done = site.workspace.shipit("deploy")
    assert first.poll() is None
    assert done.status == 0, done.output
    let_go(site)
    assert ended(first).status == 0
    for host in site.hosts:
        site.undo.callback(_remove_other, site, host)


def _remove_other(site: Site, host: str) -> None:
    site.workspace.sh(
        host,
        "systemctl disable --now other-web.socket other-web.service; "
        "rm -rf /opt/other /etc/systemd/system/other-*; systemctl daemon-reload",
    )


# --- on two hosts -------------------------------------------------------------------------------


def test_a_lock_on_one_host_keeps_all_hosts_as_they_are(two_hosts: Site) -> None:
    old = two_hosts.runs
    first = begun_on(["web2"], two_hosts, "smoke", "--limit", "web2", **IN_STAGING)
    two_hosts.wants()
    done = two_hosts.workspace.shipit("deploy", "--json")
    assert first.poll() is None
    assert done.status == 3, done.output
    assert [each["host"] for each in problems(done) if each["code"] == "locked"] == ["web2"]
    assert two_hosts.workspace.serves("web1")["version"] == old
    let_go(two_hosts)
    assert ended(first).status == 0
    assert two_hosts.workspace.serves("web1")["version"] == old


def test_of_two_at_the_same_moment_one_or_none_wins_and_nothing_is_mixed(two_hosts: Site) -> None:
    old = two_hosts.runs
    two_hosts.wants(**IN_STAGING)
    one, one_version = two_hosts.workspace.start("deploy", "--json"), f"1.0.{two_hosts.number}"
    # Both read the same playbook: it is the same release, wanted twice.
    two = two_hosts.workspace.start("deploy", "--json")
    statuses = sorted((ended(one).status, ended(two).status))
    assert statuses in ([0, 0], [0, 3], [3, 3])
    wanted = one_version if 0 in statuses else old
    assert two_hosts.workspace.versions() == dict.fromkeys(two_hosts.hosts, wanted)

"""Hosts behind a real haproxy, with a service that is down while it is switched."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from hosts.balanced import HELD, HOSTS, Balanced
from hosts.workspace import all_in, ended, heard
from patience import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shipit.lab.lab import Lab

LONG = "LOAD_BALANCER" in os.environ
DEPLOYS, RATE = (20, 200.0) if LONG else (3, 50.0)
EACH = 5 if LONG else 3  # each of so many is broken
DRAINED = "/var/lib/shipit/txn/tinyapp.drained"
IS_LEFT = f"test -e {DRAINED} && echo yes || true"


@pytest.fixture(scope="module")
def balanced(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Balanced]:
    """Give two hosts that serve a release behind haproxy."""
    balanced = Balanced.begun(tmp_path_factory.mktemp("balanced"), lab)
    yield balanced
    balanced.stop_haproxy()


def is_drained(balanced: Balanced, host: str) -> bool:
    return balanced.workspace.sh(host, IS_LEFT) == "yes"


def test_deploys_and_rollbacks_of_a_service_that_restarts_lose_no_request(
    balanced: Balanced, capfd: pytest.CaptureFixture[str]
) -> None:
    with balanced.clients(RATE) as load:
        for number in range(1, DEPLOYS + 1):
            is_broken = number % EACH == 0
            done = balanced.deploy(fault="healthz" if is_broken else "")
            assert done.status == (4 if is_broken else 0), done.output
            assert balanced.statuses() == {"UP"}
        done = balanced.workspace.shipit("rollback")
        assert done.status == 0, done.output
    result = load.result
    with capfd.disabled():
        if LONG:
            print(f"\n{DEPLOYS} deploys, {result.requests} requests: {result.failures}")  # noqa: T201
    assert result.failures == []
    assert result.requests > DEPLOYS * RATE
    assert balanced.statuses() == {"UP"}


def test_without_a_load_balancer_in_the_playbook_requests_are_lost(balanced: Balanced) -> None:
    """The test before shows something: haproxy alone does not hide the switch."""
    with balanced.clients(RATE) as load:
        done = balanced.deploy(load_balancer=None)
        assert done.status == 0, done.output
    assert load.result.failures


def test_after_a_kill_between_drain_and_undrain_the_host_serves_again(balanced: Balanced) -> None:
    workspace = balanced.workspace
    balanced.prepare(HELD)
    deploying = workspace.start("deploy", "--json")
    before = heard(deploying, all_in("check", ["web1"]))
    assert balanced.status("web1").startswith("DRAIN")
    assert is_drained(balanced, "web1")
    workspace.sh("web1", "systemctl kill -s KILL shipit-tinyapp.service")
    done = ended(deploying, before)
    assert done.status == 4, done.output
    assert balanced.statuses() == {"UP"}
    assert not is_drained(balanced, "web1")


def test_after_a_power_cut_between_drain_and_undrain_the_host_serves_again(
    balanced: Balanced,
) -> None:
    """The network comes after the unit that settles the transaction at boot."""
    balanced.prepare(HELD)
    balanced.workspace.deploy_and_lose_power("web1")
    until(lambda: balanced.statuses() == {"UP"}, lambda: str(balanced.statuses()), 60)
    until(lambda: not is_drained(balanced, "web1"), lambda: "the record is left", 10)
    assert balanced.workspace.shipit("status").status == 0


def test_a_host_that_is_left_out_is_shown_and_put_back_by_the_next_deploy(
    balanced: Balanced,
) -> None:
    workspace = balanced.workspace
    balanced.prepare(HELD, deadline="2s")
    deploying = workspace.start("deploy", "--json")
    before = heard(deploying, all_in("check", ["web1"]))
    balanced.stop_haproxy()
    done = ended(deploying, before)
    assert done.status == 4, done.output
    assert done.reported("noted", host="web1"), done.output
    status = workspace.shipit("status")
    assert status.status == 5, status.output
    assert "web1: out of its load balancer since" in status.output
    assert "haproxy-unreachable" in status.output

    balanced.start_haproxy()
    done = balanced.deploy()
    assert done.status == 0, done.output
    until(lambda: balanced.statuses() == {"UP"}, lambda: str(balanced.statuses()), 10)
    assert workspace.shipit("status").status == 0
    assert not any(is_drained(balanced, host) for host in HOSTS)

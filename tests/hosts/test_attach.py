"""A deploy whose controller is gone is followed, or led to its end, from another process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hosts.site import HOSTS, Site, problems
from hosts.workspace import Done, all_in, ended, heard, stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hosts.warm import Command

HELD = "/run/held-"  # with a version: while it is there, that release gets not through its gate
HEALTH = {
    "checks": [{"command": f"test ! -e {HELD}{{{{ release.version }}}}"}],
    "deadline": "300s",
    "interval": "1s",
}
LEASE = "/var/lib/shipit/txn/tinyapp.lease"


@pytest.fixture
def site(deployed: Site) -> Iterator[Site]:
    yield deployed
    deployed.mend()


def in_the_gate(site: Site, *words: str, **changes: object) -> Command:
    """Start a deploy of something new; return when every host is held in its gate."""
    for host in HOSTS:
        site.spoil(host, f"touch {HELD}1.0.{site.number + 1}", f"rm -f {HELD}*")
    site.wants(**{"health": HEALTH, "confirm_timeout": "600s", **changes})
    first = site.workspace.start("deploy", "--json", *words)
    site.undo.callback(stopped, first)
    heard(first, all_in("check", HOSTS))
    return first


def on_hosts(site: Site, script: str) -> None:
    for host in HOSTS:
        site.workspace.sh(host, script)


def let_go(site: Site) -> None:
    on_hosts(site, f"rm -f {HELD}*")


def time_is_up(site: Site) -> None:
    """Let the lease run out now: its end is a moment on the boot's clock."""
    on_hosts(site, f"""sed -i 's/"deadline": [0-9.]*/"deadline": 0.0/' {LEASE}""")


def attached(site: Site, *words: str, then: Callable[[Site], None]) -> Done:
    """Attach; when that is said of every host, let something happen; return how it ended."""
    missing = set(HOSTS)

    def joined(event: dict[str, Any]) -> bool:
        if event["event"] == "noted" and event["text"].startswith(("follows", "takes over")):
            missing.discard(event["host"])
        return not missing

    process = site.workspace.start("attach", "--json", *words)
    site.undo.callback(stopped, process)
    before = heard(process, joined)
    then(site)
    return ended(process, before)


def outcomes(done: Done) -> set[str]:
    return {host["outcome"] for host in done.result["hosts"].values()}


def test_a_live_deploy_is_followed_and_can_not_be_taken_over(site: Site) -> None:
    first = in_the_gate(site, "--reason", "the big one")
    version = f"1.0.{site.number}"
    refused = site.workspace.shipit("attach", "--json", "--take-over")
    assert refused.status == 3, refused.output
    assert {each["code"] for each in problems(refused)} == {"locked"}
    assert all("the big one" in each["what"] for each in problems(refused))
    done = attached(site, then=let_go)
    assert (ended(first).status, done.status) == (0, 0), done.output
    assert outcomes(done) == {"committed"}
    assert "the big one" in done.out
    site.runs = version
    assert site.workspace.versions() == dict.fromkeys(HOSTS, version)


def test_following_alone_leaves_the_decision_to_the_lease(site: Site) -> None:
    stopped(in_the_gate(site))
    done = attached(site, then=time_is_up)
    assert done.status == 4, done.output
    assert outcomes(done) == {"rolled_back"}
    assert site.workspace.versions() == dict.fromkeys(HOSTS, site.runs)


def test_a_deploy_without_a_controller_is_taken_over_and_finished(site: Site) -> None:
    stopped(in_the_gate(site))
    version = f"1.0.{site.number}"
    done = attached(site, "--take-over", then=let_go)
    assert done.status == 0, done.output
    assert outcomes(done) == {"committed"}
    assert site.workspace.versions() == dict.fromkeys(HOSTS, version)
    site.runs = version


def test_a_host_that_confirms_by_itself_needs_no_controller(site: Site) -> None:
    stopped(in_the_gate(site, confirm="host"))
    version = f"1.0.{site.number}"

    def let_go_late(site: Site) -> None:
        time_is_up(site)
        let_go(site)

    done = attached(site, then=let_go_late)
    assert done.status == 0, done.output
    assert site.workspace.versions() == dict.fromkeys(HOSTS, version)
    site.runs = version


def test_without_a_transaction_the_committed_release_is_reported(site: Site) -> None:
    done = site.workspace.shipit("attach")
    assert done.status == 0, done.output
    assert done.out.count(f"nothing runs here; {site.runs} is committed since") == len(HOSTS)

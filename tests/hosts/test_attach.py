"""A deploy whose controller is gone is followed, or led to its end, from another process."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest

from hosts.scene import PORT, Scene
from hosts.site import HOSTS, Site, problems

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from shipit.lab import Lab

CHECKS = [{"tcp": f"127.0.0.1:{PORT}"}]
SLOW = {"checks": CHECKS, "deadline": "60s", "min_healthy": "8s"}


@pytest.fixture(scope="module")
def deployed(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Site:
    lab.reset()
    site = Site(Scene.set(tmp_path_factory.mktemp("attach"), lab))
    site.accepts()
    return site


@pytest.fixture
def site(deployed: Site) -> Iterator[Site]:
    yield deployed
    deployed.mend()


def in_the_gate(site: Site, *words: str, **changes: object) -> subprocess.Popen[str]:
    """Start a deploy of something new; return when every host is in its gate."""
    site.wants(**{"health": SLOW, **changes})
    first = site.scene.start("deploy", "--json", *words)
    assert first.stdout is not None
    alarm = threading.Timer(60, first.kill)
    alarm.start()
    missing = set(HOSTS)
    for line in first.stdout:
        event = json.loads(line)
        if event["event"] == "step-began" and event["step"] == "check":
            missing.discard(event["host"])
        if not missing:
            break
    alarm.cancel()
    assert not missing
    return first


def killed(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def outcomes(done: object) -> set[str]:
    hosts = done.result["hosts"]  # type: ignore[attr-defined] # a Done
    return {host["outcome"] for host in hosts.values()}


def test_a_live_deploy_is_followed_and_can_not_be_taken_over(site: Site) -> None:
    first = in_the_gate(site, "--reason", "the big one")
    version = f"1.0.{site.number}"
    refused = site.scene.shipit("attach", "--json", "--take-over")
    assert refused.status == 3, refused.said
    assert {each["code"] for each in problems(refused)} == {"locked"}
    assert all("the big one" in each["what"] for each in problems(refused))
    done = site.scene.shipit("attach", "--json")
    first.communicate()
    assert (first.returncode, done.status) == (0, 0), done.said
    assert outcomes(done) == {"deployed"}
    assert "the big one" in done.out
    site.runs = version
    assert site.scene.versions() == dict.fromkeys(HOSTS, version)


def test_who_only_follows_lets_the_lease_decide(site: Site) -> None:
    killed(in_the_gate(site, confirm_timeout="10s"))
    done = site.scene.shipit("attach", "--json")
    assert done.status == 4, done.said
    assert outcomes(done) == {"returned"}
    assert site.scene.versions() == dict.fromkeys(HOSTS, site.runs)


def test_a_deploy_without_a_controller_is_led_to_its_end(site: Site) -> None:
    killed(in_the_gate(site, confirm_timeout="60s"))
    version = f"1.0.{site.number}"
    done = site.scene.shipit("attach", "--json", "--take-over")
    assert done.status == 0, done.said
    assert outcomes(done) == {"deployed"}
    assert site.scene.versions() == dict.fromkeys(HOSTS, version)
    site.runs = version


def test_a_host_that_confirms_by_itself_needs_no_controller(site: Site) -> None:
    killed(in_the_gate(site, confirm="host", confirm_timeout="3s"))
    version = f"1.0.{site.number}"
    done = site.scene.shipit("attach", "--json")
    assert done.status == 0, done.said
    assert site.scene.versions() == dict.fromkeys(HOSTS, version)
    site.runs = version


def test_where_nothing_runs_it_is_said_what_is_committed(site: Site) -> None:
    done = site.scene.shipit("attach")
    assert done.status == 0, done.said
    assert done.out.count(f"nothing runs here; {site.runs} is committed since") == len(HOSTS)

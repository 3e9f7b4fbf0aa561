"""The transaction on a real systemd: what no fake can promise."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hosts.agenthost import HOST, AgentHost
from patience import until
from shipit.transport import agent_zip

if TYPE_CHECKING:
    from shipit.lab.lab import Lab

PATIENCE = 60.0  # seconds
ZIP = "/var/lib/shipit/agent/test.pyz"
SESSION = Path(__file__).with_name("session.py")


class Site(AgentHost):
    """One lab host with the agent on it."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        self.put(ZIP, agent_zip.build().content)
        self.put("/root/session.py", SESSION.read_bytes())

    def session(self, **request: object) -> list[dict[str, Any]]:
        """Run one session to its end; the messages it got."""
        argv = ("python3", "-I", "-S", "/root/session.py", ZIP, json.dumps(request))
        done = self.lab.run(HOST, *argv, timeout=180)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def deploy(self, release: str, **request: object) -> dict[str, Any]:
        return self.session(what="deploy", release=release, **request)[-1]

    def serving(self, port: int = 8000) -> str:
        code = (
            "import urllib.request as r;"
            f"print(r.urlopen('http://127.0.0.1:{port}/', timeout=30).read().decode())"
        )
        return str(json.loads(self.sh(f'python3 -c "{code}"') or '{"release": ""}')["release"])

    def settle(self) -> None:
        """Wait until no transaction is open any more, and its driver has ended."""
        is_open = "ls /var/lib/shipit/txn/app.json 2>/dev/null"
        is_driven = "systemctl is-active shipit-app.service | grep -x -e active -e activating"
        until(
            lambda: not self.sh(f"{is_open}; {is_driven}"),
            lambda: self.sh("journalctl -n 60 --no-pager"),
            PATIENCE,
        )

    def assert_runs(self, release: str) -> None:
        assert self.serving() == release
        assert self.sh("readlink /opt/app/current") == f"releases/{release}"
        assert f"/{release}/" in self.sh("systemctl cat app-web.service")
        assert not self.sh("ls /etc/systemd/system | grep shipit-recover")
        assert self.sh("systemctl is-enabled app-web.service") == "enabled"


@pytest.fixture
def site(fresh_web1: Lab) -> Site:
    return Site(fresh_web1)


def test_a_deploy_an_upgrade_and_a_rollback_serve_what_they_say(site: Site) -> None:
    assert site.deploy("r1")["outcome"] == "committed"
    site.assert_runs("r1")
    assert site.deploy("r2")["outcome"] == "committed"
    site.assert_runs("r2")
    settled = site.session(what="rollback", release="r1")[-1]
    assert (settled["outcome"], settled["running"]) == ("committed", "r1")
    site.assert_runs("r1")


def test_a_failed_first_deploy_leaves_a_clean_host(site: Site) -> None:
    settled = site.deploy("r1", mode="crash")
    assert (settled["outcome"], settled["running"]) == ("rolled_back", "")
    assert "cannot go on: no database" in settled["failure"]["evidence"]
    how = r"app-web\.service .*(exit status 1|restarted \d+ times)"  # as the look met it
    assert re.search(how, settled["failure"]["what"])
    assert site.sh("ls -A /opt/app") == "ledger.jsonl"
    assert not site.sh("ls /etc/systemd/system | grep -e app- -e shipit")
    listed = "systemctl list-units --plain --no-legend 'app-*' 'shipit*'"
    until(lambda: not site.sh(listed), lambda: site.sh(listed), PATIENCE)  # its own unit goes last


def test_an_unhealthy_or_crashing_release_is_rolled_back(site: Site) -> None:
    site.deploy("r1")
    sick = site.deploy("r2", mode="sick")
    assert (sick["outcome"], sick["running"]) == ("rolled_back", "r1")
    assert "expected status 200, got 500" in sick["failure"]["what"]
    assert '{"release": "r2"}' in sick["failure"]["evidence"]
    site.assert_runs("r1")
    crashed = site.deploy("r3", mode="crash")
    assert (crashed["outcome"], crashed["running"]) == ("rolled_back", "r1")
    site.assert_runs("r1")


def test_a_changed_socket_is_changed_and_changed_back(site: Site) -> None:
    site.deploy("r1")
    assert site.deploy("r2", port=9000)["outcome"] == "committed"
    assert (site.serving(9000), site.serving(8000)) == ("r2", "")
    assert site.deploy("r3", port=8000, mode="sick")["outcome"] == "rolled_back"
    assert (site.serving(9000), site.serving(8000)) == ("r2", "")


def test_an_unconfirmed_release_is_rolled_back_when_its_lease_expires(site: Site) -> None:
    site.deploy("r1")
    site.session(what="deploy", release="r2", verdict="")
    assert site.serving() == "r2"
    site.session(what="renew", lease=1.0)  # the last one
    site.settle()
    site.assert_runs("r1")


@pytest.mark.parametrize("signal", ["KILL", "TERM"])
def test_a_killed_driver_is_restarted_and_rolls_back(site: Site, signal: str) -> None:
    site.deploy("r1")
    site.session(what="deploy", release="r2", verdict="")
    site.sh(f"systemctl kill --signal={signal} --kill-who=main shipit-app.service")
    site.settle()
    site.assert_runs("r1")


def test_a_stopped_driver_is_settled_by_the_next_session(site: Site) -> None:
    site.deploy("r1")
    site.session(what="deploy", release="r2", verdict="")
    site.sh("systemctl stop shipit-app.service")
    assert "was undone: release r1 runs" in site.session()[0]["recovered"]
    site.assert_runs("r1")


@pytest.mark.parametrize("way", ["power cut", "reboot"])
def test_a_reboot_before_the_commit_rolls_back(site: Site, way: str) -> None:
    site.deploy("r1")
    site.session(what="deploy", release="r2", verdict="")
    if way == "reboot":
        site.lab.reboot(HOST)
    else:
        site.lab.power_cut(HOST)
        site.lab.boot(HOST)
    site.settle()
    site.assert_runs("r1")
    log = site.sh("journalctl --sync; journalctl --boot --unit=app-web.service --output=cat")
    assert "this is r2" not in log  # not even started
    assert log.count("this is r1") == 1


def test_a_reboot_inside_a_first_deploy_leaves_a_clean_host(site: Site) -> None:
    site.session(what="deploy", release="r1", verdict="")
    site.lab.power_cut(HOST)
    site.lab.boot(HOST)
    site.settle()
    assert site.sh("ls -A /opt/app") == "ledger.jsonl"
    assert site.sh("systemctl is-active app-web.service app-web.socket") == "inactive\ninactive"


def test_a_crash_after_the_gate_is_rolled_back_without_waiting_for_the_lease(site: Site) -> None:
    site.deploy("r1")
    site.session(what="deploy", release="r2", verdict="")
    site.sh("systemctl kill --signal=KILL app-web.service")
    site.settle()
    site.assert_runs("r1")

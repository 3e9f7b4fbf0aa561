"""Services that will not stop or stay up, an sshd that goes away, people in each other's way.

FAULTS=1 plays every step, moment and round; else some of them.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import time
from typing import TYPE_CHECKING

import pytest

from hosts.site import HOSTS, Site, at_rest, problems
from hosts.workspace import PORT, Workspace, all_in, ended, heard, stopped
from patience import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hosts.warm import Command

PATIENCE = 120.0  # seconds
LEFT = ("commit", 2)  # a step, and how often Ctrl-C
ALL = os.environ.get("FAULTS", "0") != "0"
ROUNDS = 12 if ALL else 2
DEATHS = (0.2, 0.29, 0.3, 0.31, 0.4, 0.6, 0.8) if ALL else (0.29, 0.31, 0.6)  # seconds
EVERY_STEP = ("receive", "build", "arm", "trial", "activate", "check", "commit")
STEPS = EVERY_STEP if ALL else ("arm", "commit")
HELD, CRASH = "/run/held", "/run/crash"
CHECKS = [{"http": f"http://127.0.0.1:{PORT}/healthz"}]
WAITING = f"/bin/sh -c 'while test -e {HELD}; do sleep 0.05; done'"
IN_GATE = {"checks": [{"command": f"test ! -e {HELD}"}], "deadline": "120s", "interval": "1s"}
BRITTLE = f"/bin/sh -c 'while test ! -e {CRASH}; do sleep 0.05; done; exit 7'"
WEB = {"command": "tinyapp", "socket": PORT, "handover": "restart", "stop_timeout": "1s"}
LOOK = """
cd /opt/tinyapp; readlink current
for unit in web.socket web.service worker.service nightly.timer; do
  test ! -e current/units/tinyapp-$unit || cmp current/units/tinyapp-$unit /etc/systemd/system/tinyapp-$unit
done
grep '"outcome": "committed"' ledger.jsonl | tail -n 1
ls /etc/systemd/system | grep shipit-recover; true
"""  # noqa: E501 - shell


# A service that dies too often is given up by systemd, and its socket with it.
REVIVE = (
    "systemctl -q is-failed tinyapp-web.socket && systemctl reset-failed 'tinyapp-web.*'"
    " && systemctl start tinyapp-web.socket; true"
)


@pytest.fixture
def alone(one_host: Site) -> Iterator[Site]:
    """Give one host; that nothing blocks is seen by the next test, whose deploy has to get on."""
    yield one_host
    one_host.settle()


@pytest.fixture
def onward(deployed: Site) -> Iterator[Site]:
    """The same of two; the last ones of this module are tests of `site`, which deploys again."""
    yield deployed
    deployed.settle()


def serving(site: Site, host: str) -> str:
    """Return the version that a host serves and no other: pages, units, `current`, ledger."""
    release, *differences, committed = site.workspace.sh(host, LOOK).splitlines()
    assert differences == []
    assert f"releases/{json.loads(committed)['release']}" == release
    manifest = json.loads(site.lab.read(host, f"/opt/tinyapp/{release}/manifest.json"))

    def answered() -> object:  # a service that dies again and again does not answer each time
        site.workspace.sh(host, REVIVE)
        return site.workspace.serves(host).get("version")

    reported = until(answered, lambda: host, PATIENCE)
    assert reported == manifest["version"]
    return str(reported)


def settled(site: Site) -> list[str]:
    """Wait until no transaction is at work on any host; return the version that each serves."""
    look = "systemctl is-active shipit-tinyapp.service || true"

    def at_work() -> list[str]:
        return [h for h in site.hosts if site.workspace.sh(h, look) in ("active", "activating")]

    until(lambda: not at_work(), lambda: f"at work on {at_work()}", PATIENCE)
    at_rest(site.lab)  # a session that was left may still be building
    return [serving(site, host) for host in site.hosts]


# --- services ------------------------------------------------------------------------------------


def test_a_service_that_will_not_stop_is_killed_in_the_end(alone: Site) -> None:
    alone.wants(services={"web": WEB}, env={"TINYAPP_FAULT": "deaf"})
    assert alone.workspace.shipit("deploy").status == 0
    alone.accepts()
    for host in alone.hosts:
        log = alone.workspace.sh(host, "journalctl -u tinyapp-web.service --output=cat")
        assert "SIGKILL" in log
        assert alone.workspace.sh(host, "systemctl list-units --failed --plain --no-legend") == ""


def test_a_new_service_that_will_not_stop_does_not_keep_the_old_one_away(alone: Site) -> None:
    alone.wants(
        services={"web": WEB},
        env={"TINYAPP_FAULT": "deaf"},
        health={"checks": [*CHECKS, {"command": "/bin/false"}], "deadline": "2s"},
    )
    done = alone.workspace.shipit("deploy", "--json")
    assert done.status == 4, done.output
    assert settled(alone) == [alone.runs]


def test_a_service_that_crashes_again_and_again_after_the_commit_is_reported_by_status(
    alone: Site,
) -> None:
    brittle = {"web": WEB, "worker": {"command": BRITTLE, "stop_timeout": "1s"}}
    for host in alone.hosts:
        alone.undo.callback(alone.workspace.sh, host, f"rm -f {CRASH}")
    alone.wants(services=brittle)
    version = f"1.0.{alone.number}"
    assert alone.workspace.shipit("deploy").status == 0
    for host in alone.hosts:
        alone.workspace.sh(host, f"touch {CRASH}")
    until(
        lambda: all("tinyapp-worker" in drift for drift in drifts(alone)),
        lambda: drifts(alone),
        PATIENCE,
    )
    assert settled(alone) == [version]  # committed is committed: going back is a person's word


def drifts(site: Site) -> list[str]:
    return [" ".join(host["drift"]) for host in site.workspace.asked("status").values()]


# --- sshd ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["smoke", "check"])
def test_an_sshd_that_is_restarted_meanwhile_does_not_matter(alone: Site, step: str) -> None:
    process, before = held(alone, step)
    for host in alone.hosts:
        alone.workspace.sh(host, "systemctl restart ssh.service")
    let_go(alone)
    done = ended(process, before)
    assert done.status == 0, done.output
    assert settled(alone) == [f"1.0.{alone.number}"]


@pytest.mark.parametrize("step", ["smoke", "check"])
def test_a_killed_session_of_sshd_leaves_the_old_release_and_names_the_host(
    alone: Site, step: str
) -> None:
    process, before = held(alone, step, confirm_timeout="3s")
    for host in alone.hosts:
        alone.workspace.sh(host, "pkill -KILL -f '^sshd: [a-z]+'")
    done = ended(process, before)
    assert done.status not in (0, 1), done.output
    reported = problems(done)
    assert {each["host"] for each in reported} == set(alone.hosts)
    assert all(each["code"] and each["hint"] for each in reported), reported
    let_go(alone)
    assert settled(alone) == [alone.runs]


def held(site: Site, step: str, **changes: object) -> tuple[Command, list[str]]:
    """Start a deploy of something new that is held in a step on every host."""
    for host in site.hosts:
        site.spoil(host, f"touch {HELD}", f"rm -f {HELD}")
    slow: dict[str, object] = {"smoke": WAITING} if step == "smoke" else {"health": IN_GATE}
    site.wants(**slow, **changes)
    process = site.workspace.start("deploy", "--json")
    site.undo.callback(stopped, process)
    return process, heard(process, all_in(step, site.hosts))


def let_go(site: Site) -> None:
    for host in site.hosts:
        site.workspace.sh(host, f"rm -f {HELD}")


# --- on two hosts --------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", DEATHS)
def test_a_service_that_dies_about_when_its_gate_passes_leaves_one_release(
    site: Site, moment: float
) -> None:
    site.wants(
        env={"TINYAPP_FAULT": f"late:{moment}"},
        health={"checks": CHECKS, "deadline": "10s", "min_healthy": "300ms", "interval": "20ms"},
    )
    version = f"1.0.{site.number}"
    done = site.workspace.shipit("deploy", "--json")
    # Where one host was committed before the other one's service died, it is said that they differ.
    expected = {0: [{version}], 4: [{site.runs}], 5: [{version, site.runs}]}
    assert {*settled(site)} in expected[done.status], done.output


@pytest.fixture(scope="module")
def rival(deployed: Site, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Give somebody else, with a folder of their own."""
    return Workspace.set(tmp_path_factory.mktemp("rival"), deployed.lab)


@pytest.mark.parametrize(
    ("step", "times"),
    [
        *((step, 1) for step in STEPS),
        *((step, 2) for step in ("build", "activate", "check", "commit")),
    ],
)
def test_ctrl_c_in_any_step_leaves_the_same_whole_release_on_every_host(
    onward: Site, step: str, times: int
) -> None:
    tried = {"services": {"web": {**WEB, "handover": "overlap"}}}  # else there is no trial
    onward.wants(confirm_timeout="5s", **(tried if step == "trial" else {}))
    process = onward.workspace.start("deploy", "--json")
    onward.undo.callback(stopped, process)
    before = heard(process, all_in(step, HOSTS[:1]))
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)  # two signals at once are one
    done = ended(process, before)
    new, old = f"1.0.{onward.number}", onward.runs
    versions = settled(onward)
    # A second one amid the commits leaves each host to itself.
    whole = [[old] * 2, [new] * 2, *([[old, new], [new, old]] if (step, times) == LEFT else [])]
    assert versions in whole, done.output
    assert done.status == 130 or (done.status, versions) == (0, [new] * 2), done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_of_two_controllers_each_wins_completely_or_learns_the_lock_owner(
    site: Site, rival: Workspace, seed: int
) -> None:
    draw = random.Random(seed)  # noqa: S311 - the same offset again, not the same race
    old, started = site.runs, {}
    for workspace, offset in ((site.workspace, 0.0), (rival, draw.uniform(0.0, 1.5))):
        site.number += 1
        version = f"1.0.{site.number}"
        workspace.wheel(version)
        workspace.playbook(version)
        time.sleep(offset)  # the race: the second may begin at any step of the first
        started[version] = workspace.start("deploy", "--json", "--allow-older")
    ends = {version: ended(process) for version, process in started.items()}
    won = [version for version, done in ends.items() if done.status == 0]
    for done in ends.values():
        assert done.status in (0, 3), done.output
        if done.status:
            held_by = [each for each in problems(done) if each["code"] == "locked"]
            assert held_by, done.output
            # Between the taking of a lock and its note, nobody knows whose it is.
            assert all(re.search(r"is held by (a|another) deploy", e["what"]) for e in held_by)
    now = settled(site)
    assert now[0] == now[1]
    assert now[0] in (won or [old])

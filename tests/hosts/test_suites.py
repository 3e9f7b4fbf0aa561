"""The main scenario on each distribution: its systemd, Python and sshd accept what we write.

Here on the Debians that no other test runs on. `make support` plays all of it on all suites, with
real app servers as well, and writes the table of docs/support.md from what was played.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

import support_matrix
import wheelhouse
from hosts import faults
from hosts.fault_cases import KINDS, Case, single
from hosts.load import Demand
from hosts.site import at_rest
from hosts.workspace import PORT, Workspace
from load.deploys import GOOD, GUNICORN, ROLLBACK, TINYAPP, UVICORN, App, DeployedApp, Step
from marks import left_out_unless
from patience import until
from shipit.agent.transaction.states import State
from shipit.lab.image import SUITES
from shipit.lab.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from hosts.book import Result

HOST = "web1"
CHECKS = [{"http": f"http://127.0.0.1:{PORT}/healthz"}]
IMPATIENT = {"checks": CHECKS, "deadline": "4s", "min_healthy": "300ms"}
PATIENT = {"checks": CHECKS, "min_healthy": "30s"}
BAKED = {"checks": CHECKS, "min_healthy": "300ms", "bake": "30s"}
PATIENCE = 60.0  # seconds
CLIENTS = Demand(rate=50, kept=5, fresh=5, long=1, long_page="/slow?seconds=2")
SERVERS = {"uvicorn": UVICORN, "gunicorn": GUNICORN}
# The newest gunicorn for an older Python is one that may drop connections: `serve` refuses it.
SERVED_SINCE = (3, 10)
BY_COMMAND = {"command": "gunicorn loadapp:wsgi --workers 2 --threads 8 --graceful-timeout 25"}
CI = ("bullseye", "trixie")
IS_WHOLE = "SUPPORT" in os.environ
# A fault of each kind before each of these; test_faults plays all states, on the usual suite. Here
# a suite gets each kind before one of these, and the other suite before the other.
SAMPLED = (State.ACTIVATE, State.COMMIT, *((State.BUILD,) if IS_WHOLE else ()))
SLOW = left_out_unless(IS_WHOLE, "support")
FACTS = r"""
. /etc/os-release; echo "$PRETTY_NAME"
systemctl --version | sed -nE '1s/.*\((.*)\)/\1/p'
python3 -c 'import platform; print(platform.python_version())'
"""


@dataclass
class Booted:
    """A machine of a suite, for all tests of this module; `facts` as it reports them."""

    lab: Lab
    folder: Path
    facts: support_matrix.Host


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=() if name in CI else SLOW) for name in SUITES],
)
def booted(
    request: pytest.FixtureRequest, lab_machine: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Booted]:
    folder = tmp_path_factory.mktemp(request.param)
    with Lab.up([HOST], folder, suite=request.param, timeout=180) as lab:
        output = lab.run(HOST, "sh", "-c", FACTS).stdout.splitlines()
        yield Booted(lab, folder, support_matrix.Host(request.param, *output))


@pytest.fixture(scope="module")
def workspace(booted: Booted) -> Workspace:
    workspace = Workspace.set(booted.folder, booted.lab, [HOST])
    workspace.handover = "overlap"
    return workspace


@pytest.mark.plays("deploys, broken releases and a rollback")
def test_a_release_is_deployed_handed_over_and_rolled_back(workspace: Workspace) -> None:
    workspace.wheel("1.0.0")
    workspace.playbook("1.0.0")
    ready = workspace.shipit("doctor")
    assert ready.status == 0, ready.output
    for version in ("1.0.0", "1.1.0"):
        done = workspace.deploy(version)
        assert done.status == 0, done.output
        assert workspace.versions() == {HOST: version}
    for handover, status in (("overlap", 3), ("restart", 4)):
        workspace.handover = handover
        broken = workspace.deploy("1.2.0", fault="healthz", health=IMPATIENT)
        assert broken.status == status, broken.output
        assert workspace.versions() == {HOST: "1.1.0"}
    back = workspace.shipit("rollback")
    assert back.status == 0, back.output
    assert workspace.versions() == {HOST: "1.0.0"}
    assert workspace.asked("status")[HOST]["drift"] == []


@pytest.mark.plays("no directive unknown to systemd")
def test_nothing_that_we_wrote_is_unknown_to_systemd(workspace: Workspace) -> None:
    log = workspace.sh(HOST, "journalctl --no-pager -o cat _PID=1 | grep -i 'tinyapp\\|shipit'")
    assert [line for line in log.splitlines() if "nknown" in line or "gnoring" in line] == []
    verify = "systemd-analyze verify --man=no /etc/systemd/system/tinyapp-*"
    assert "tinyapp" not in workspace.sh(HOST, f"{verify} 2>&1 || true")


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_a_python_without_distutils_is_reported_before_anything_is_sent(
    workspace: Workspace, installer: str
) -> None:
    """Debian 11 splits it off; a fault that only the build met before."""
    folder = "/usr/lib/python3.9/distutils"
    if workspace.lab.run(HOST, "test", "-e", f"{folder}/dist.py").returncode:
        pytest.skip("this suite's Python has no distutils to miss")
    wheelhouse.write_wheel(workspace.wheels, wheelhouse.Recipe("pip", "25.0"))
    workspace.playbook("1.0.0", installer=installer)
    workspace.sh(HOST, f"mv {folder}/dist.py /root/")
    try:
        done = workspace.shipit("doctor")
    finally:
        workspace.sh(HOST, f"mv /root/dist.py {folder}/")
    assert done.status == 3, done.output
    assert f"{installer} can't use /usr/bin/python3.9: it has no distutils" in done.output
    assert "apt-get install python3-distutils" in done.output


@pytest.mark.plays("a power cut in the gate")
def test_a_host_that_loses_its_power_in_the_gate_comes_back_with_the_old_release(
    workspace: Workspace,
) -> None:
    """The unit that settles it at boot is taken by this systemd, and runs in time."""
    workspace.wheel("1.3.0")
    workspace.playbook("1.3.0", health=PATIENT)
    before = workspace.versions()
    workspace.deploy_and_lose_power(HOST)
    at_rest(workspace.lab)
    settled = workspace.shipit("status")
    assert settled.status == 0, settled.output
    assert workspace.versions() == before


@pytest.mark.plays("bake on control groups v2 alone")
def test_a_bake_sees_memory_and_restarts_on_control_groups_v2_alone(workspace: Workspace) -> None:
    before = workspace.versions()
    v1 = workspace.sh(HOST, "stat -fc %T /sys/fs/cgroup; awk '$3 == \"cgroup\"' /proc/mounts")
    assert v1 == "cgroup2fs"
    for fault, words in (("leak:200", "tinyapp-web: it uses "), ("late:3", "dying as asked")):
        done = workspace.deploy("1.4.0", "--json", fault=fault, health=BAKED)
        assert done.status == 4, done.output
        problem = done.result["hosts"][HOST]["problem"]
        assert words in f"{problem['what']}\n{problem['evidence']}"
        assert workspace.versions() == before


def handed_over(booted: Booted, folder: Path, app: App) -> tuple[Workspace, Result]:
    """Deploy and roll back under load; return what its clients noticed."""
    booted.lab.reset(HOST)
    deployed = DeployedApp.set(folder, booted.lab, HOST, app, "overlap", python=booted.facts.python)
    with deployed.clients(replace(CLIENTS, websocket=app.websocket)) as load:
        until(lambda: load.tally.get("requests"), lambda: "no request yet", PATIENCE)
        for step in (Step(GOOD), Step(ROLLBACK)):
            deployed.run_step(step)
    assert set(load.result.versions) == {"1.0.1", "1.0.2"}
    return deployed.workspace, load.result


def lost(result: Result) -> str:
    return f"{len(result.failures)} of {result.requests:,} requests lost"


@pytest.mark.plays("hand-over under load")
def test_no_request_is_lost_by_a_deploy_and_a_rollback(
    booted: Booted, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    _, result = handed_over(booted, tmp_path, TINYAPP)
    assert result.failures == []
    record_property("outcome", lost(result))


@pytest.mark.index
@pytest.mark.plays("hand-over under load")
@pytest.mark.parametrize("server", [pytest.param(name, marks=SLOW) for name in SERVERS])
def test_no_request_is_lost_on_a_real_app_server_unless_plan_warns_of_it(
    booted: Booted, tmp_path: Path, record_property: Callable[[str, object], None], server: str
) -> None:
    app = SERVERS[server]
    if app is GUNICORN and python_of(booted) < SERVED_SINCE:
        app = replace(app, runs=BY_COMMAND)
    workspace, result = handed_over(booted, tmp_path, app)
    is_warned = "may drop accepted connections" in workspace.shipit("plan").output
    assert is_warned or result.failures == []
    record_property("outcome", lost(result) + ", as `plan` warns" * is_warned)
    version = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
    python = "/opt/loadapp/current/venv/bin/python"
    reported = booted.lab.run(HOST, python, "-c", version, server)
    record_property("server", f"{server} {reported.stdout.strip()}")


def python_of(booted: Booted) -> tuple[int, ...]:
    return tuple(map(int, booted.facts.python.split(".")[:2]))


@pytest.mark.plays("faults of each kind")
def test_after_a_fault_one_release_serves_and_nothing_blocks(
    booted: Booted, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    booted.lab.reset(HOST)
    site = faults.Site.on(HOST, booted.lab, tmp_path / HOST, faults.saboteur(tmp_path))
    played = booted.facts.suite
    sample = [
        case
        for turn, kind in enumerate(KINDS)
        for case in single(kind)
        if is_sampled(case, SAMPLED if IS_WHOLE else (SAMPLED[(turn + CI.index(played)) % 2],))
    ]
    for case in sample:
        site.survives(case)
    site.follows()
    record_property("outcome", f"{len(sample)} of {len(sample)} survived")


def is_sampled(case: Case, states: Sequence[State]) -> bool:
    (fault,) = case.faults
    return fault.when == "before" and State(fault.state) in states

"""Real hosts for tests: one lab per test process, booted when the first test asks for it.

A test that asks for one of these fixtures is marked `lab`. Where no lab can be booted it is skipped
with the reason; with CI=true that is a failure, so that a left-out lab can't go unseen.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import support_matrix
from hosts.links import PATIENCE
from hosts.site import HOSTS, Site
from hosts.workspace import Workspace
from patience import until
from shipit.lab.image import obstacles
from shipit.lab.lab import Lab
from shipit.transport.ssh.client import Network

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

_LAB_FIXTURES = {"lab_machine", "lab", "fresh", "fresh_web1"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark lab tests before `-m` is evaluated."""
    for item in items:
        if _LAB_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.lab)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Record for docs/support.md what a passed test covers (see support_matrix)."""
    report = yield
    record, plays = os.environ.get("SUPPORT"), item.get_closest_marker("plays")
    if record and plays and report.when == "call" and report.passed:
        host = getattr(item, "funcargs")["booted"].facts  # noqa: B009 - of a Function alone
        reported = {key: str(value) for key, value in item.user_properties}
        server, outcome = reported.get("server", support_matrix.OWN), reported.get("outcome", "")
        played = support_matrix.Played(host, server, plays.args[0], outcome)
        support_matrix.note(Path(record), played)
    return report


@pytest.fixture(scope="session")
def lab_machine() -> None:
    """Require a machine that can boot labs; for tests that make their own."""
    if reasons := obstacles():
        why = f"no lab here: {'; '.join(reasons)}"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)


@pytest.fixture(scope="session")
def lab(lab_machine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two hosts, web1 and web2, that all tests of this process share: leave them as they were."""
    with Lab.up(["web1", "web2"], tmp_path_factory.mktemp("lab"), timeout=180) as lab:
        yield lab


@pytest.fixture
def fresh(lab: Lab) -> Lab:
    """Give the same hosts with clean disks, as if newly installed (half a second)."""
    lab.reset()
    return lab


@pytest.fixture
def fresh_web1(lab: Lab) -> Lab:
    """Give web1 with a clean disk, for tests that need no other host."""
    lab.reset("web1")
    return lab


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    """Give connections of a user without keys, known_hosts or config; nothing is left of them."""
    threads = set(threading.enumerate())
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    with Network(home=tmp_path) as network:
        yield network

    def left() -> set[threading.Thread]:
        return {*threading.enumerate()} - threads

    until(lambda: not left(), left, PATIENCE)  # they were asked to end, and may take a moment
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


@pytest.fixture(scope="module")
def deployed(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Give two hosts that serve a release, for all tests of a module."""
    workspace = Workspace.set(tmp_path_factory.mktemp("site"), lab)
    workspace.begin(*HOSTS)
    again = workspace.shipit("deploy")  # of copied disks the files are verified once more
    assert again.status == 0, again.output
    return Site(workspace, runs="1.0.0")


@pytest.fixture(scope="module")
def one_host(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Give one of them, for tests whose promise is about a host.

    In a module they come before the tests of both, which get clean disks then.
    """
    workspace = Workspace.set(tmp_path_factory.mktemp("host"), lab, HOSTS[:1])
    workspace.begin(*HOSTS[:1])
    return Site(workspace, runs="1.0.0", hosts=HOSTS[:1])


@pytest.fixture
def site(deployed: Site) -> Iterator[Site]:
    """Give the same hosts, repaired after each test, so that the next deploy works."""
    yield deployed
    deployed.mend()
    deployed.accepts()

"""A release that does worse under live traffic than the previous one is rolled back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hosts.site import HOSTS
from hosts.workspace import PORT, Workspace

if TYPE_CHECKING:
    from shipit.lab.lab import Lab

HEALTH = {
    "checks": [{"http": f"http://127.0.0.1:{PORT}/healthz"}],
    "min_healthy": "300ms",
    "bake": "15s",
}


@pytest.fixture(scope="module")
def deployed(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Give hosts that serve 1.0.0; each test here leaves them so."""
    workspace = Workspace.set(tmp_path_factory.mktemp("bake"), lab)
    workspace.handover = "overlap"
    workspace.begin(*HOSTS)
    return workspace


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("leak:200", ["tinyapp-web: it uses ", " MiB, the previous release "]),
        ("noisy", ["tinyapp-web: it has logged ", "ERROR: as asked"]),
        ("late:8", ["dying as asked"]),
    ],
)
def test_a_release_that_does_worse_under_live_traffic_is_rolled_back(
    deployed: Workspace, fault: str, words: list[str]
) -> None:
    # Each host is left to say why by itself, and not called back because of the other one.
    done = deployed.deploy("1.1.0", "--json", fault=fault, health=HEALTH, max_fail_percentage=100)
    assert done.status == 4, done.output
    assert done.result["outcome"] == "rolled_back"
    for host in done.result["hosts"].values():
        reported = f"{host['problem']['what']}\n{host['problem']['evidence']}"
        assert [word for word in words if word not in reported] == [], reported
    assert deployed.versions() == {"web1": "1.0.0", "web2": "1.0.0"}


def test_a_release_that_does_as_well_is_committed(deployed: Workspace) -> None:
    done = deployed.deploy("1.2.0", "--json", health={**HEALTH, "bake": "3s"})
    assert done.status == 0, done.output
    assert [step["ok"] for step in done.reported("step-ended", step="bake")] == [True, True]
    assert deployed.shipit("rollback").status == 0
    assert deployed.versions() == {"web1": "1.0.0", "web2": "1.0.0"}

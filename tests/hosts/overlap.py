"""One host whose releases hand over by overlapping: a web service behind a socket, and a worker."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hosts.workspace import PORT, Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hosts.workspace import Done
    from shipit.lab.lab import Lab

HOST = "web1"
HTTP = f"http://127.0.0.1:{PORT}/healthz"
HEALTH: dict[str, Any] = {"checks": [{"http": HTTP}], "min_healthy": "300ms", "deadline": "60s"}
WEB: dict[str, Any] = {"command": "tinyapp", "socket": PORT, "stop_timeout": "20s"}
WORKER: dict[str, Any] = {"command": "tinyapp-worker", "stop_timeout": "5s"}


@contextmanager
def serving(lab: Lab, folder: Path) -> Iterator[Workspace]:
    """Give a host that serves 1.0.0; at the end no trial may have left anything on it."""
    workspace = Workspace.set(folder, lab, [HOST])
    workspace.begin(HOST, services={"web": WEB, "worker": WORKER}, health=HEALTH)
    yield workspace
    assert workspace.sh(HOST, "ls /run/systemd/system") == ""


def deploy(workspace: Workspace, version: str, fault: str = "", **changes: Any) -> Done:  # noqa: ANN401 - as in a playbook
    return workspace.deploy(
        version,
        "--json",
        fault=fault,
        **{"services": {"web": WEB, "worker": WORKER}, "health": HEALTH, **changes},
    )

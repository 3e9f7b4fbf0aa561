"""A lab host with the agent's code on it: for tests that start it without a controller."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from shipit import agent

if TYPE_CHECKING:
    from shipit.lab.lab import Lab

HOST = "web1"


class AgentHost:
    """One host, with the agent as the package shipit.agent below /root/lib."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.put("/root/lib/shipit/__init__.py", b"")
        folder = Path(agent.__file__).parent
        for source in folder.rglob("*.py"):
            path = source.relative_to(folder)
            self.put(f"/root/lib/shipit/agent/{path}", source.read_bytes())

    def put(self, path: str, content: bytes) -> None:
        target = self.lab.hosts[HOST].root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def sh(self, command: str) -> str:
        return self.lab.run(HOST, "sh", "-c", command).stdout.strip()

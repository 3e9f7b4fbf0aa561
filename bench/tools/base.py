"""What the benchmark asks of a tool."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.service import Wheels
    from bench.site import Address


SCRIPTS = Path(__file__).parents[1] / "scripts"


@dataclass(frozen=True)
class Job:
    """What a tool gets before its first run.

    Attributes:
        folder: its own, empty; it is run there.
        ssh: the folder with known_hosts and ssh_config.
        python: of the environment with the peers.
    """

    folder: Path
    ssh: Path
    hosts: Sequence[Address]
    wheels: Wheels
    python: Path


@dataclass(frozen=True)
class Call:
    """A command line.

    Attributes:
        environment: variables besides those of this process.
        after: commands that end what it leaves running, so that each call is a first one.
    """

    argv: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)
    after: Sequence[Sequence[str]] = ()


class Tool(Protocol):
    """One way to deploy.

    Attributes:
        name: in the tables.
        about: what it does, for docs/performance.md.
    """

    @property
    def name(self) -> str: ...

    @property
    def about(self) -> str: ...

    def prepare(self, job: Job) -> None:
        """Write its files into the job's folder."""

    def deploy(self, job: Job, version: str) -> Call:
        """Return the command that deploys a version; it fails where that is not healthy."""

    def rollback(self, job: Job, version: str) -> Call:
        """Return the command that returns from a version to the one before it."""

"""Say what a rehearsal asks of disposable machines. The port: nspawn and vagrant are its providers.

A machine is a Linux host with systemd, sshd, sudo and Python, that may be broken at will.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from shipit.rehearsal.scenario import Fault


class Machines(Protocol):
    """Machines that are up. Whatever can't be done to one is told as a LabError."""

    @property
    def folder(self) -> Path:
        """Where a rehearsal may keep its files: they go when the machines go."""

    def inventory(self) -> str:
        """Return an inventory of the machines, with their host keys pinned, as YAML text."""

    def run(
        self,
        name: str,
        *argv: str,
        input: str | None = None,  # noqa: A002 - as subprocess.run calls it
        timeout: float = 30.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root on a machine; a failing one is not an error here."""

    def power_cut(self, name: str) -> None:
        """Take a machine's power away at once; its disk stays."""

    def boot(self, name: str) -> None:
        """Start a machine that is off, and wait for a login."""

    def reboot(self, name: str) -> None:
        """Let a machine shut down in order and start again, and wait for a login."""

    def cut_cable(self, name: str) -> None:
        """Let nothing reach a machine any more, and tell nobody."""

    def repair_cable(self, name: str) -> None: ...

    def stay(self) -> str:
        """Let the machines outlive this process; says until when, and what removes them."""

    def down(self) -> None:
        """Remove every trace of the machines; their folder is empty afterwards."""


@dataclass(frozen=True)
class Provider:
    """What makes machines.

    Attributes:
        kind: its machines, in the words of the report.
        limits: what a rehearsal on them does not show.
        unable: the faults that it can't play.
        refuse: raises LabError, with what to do, where it can make none.
        with_suite: returns the provider of machines that run another suite of Debian, or raises
            LabError; None where what they run is configured elsewhere.
        up: makes machines of these names in an empty folder, and tells what takes long; if that
            fails it leaves nothing.
    """

    kind: str
    limits: str
    unable: frozenset[Fault]
    refuse: Callable[[], None]
    up: Callable[[Sequence[str], Path, Callable[[str], None]], Machines]
    with_suite: Callable[[str], Provider] | None = None


@dataclass(frozen=True)
class MachineChoice:
    """Which machines are wanted: their provider, and what they run ("": as the provider has it)."""

    provider: str = "nspawn"
    suite: str = ""

"""The interface between a rehearsal and its disposable machines; nspawn and vagrant provide them.

A machine is a Linux host with systemd, sshd, sudo and Python that may be broken at will.
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
    """Machines that are up. Every method raises LabError if it fails."""

    @property
    def folder(self) -> Path:
        """The folder for the rehearsal's files; it is removed with the machines."""

    def inventory(self) -> str:
        """Return an inventory of the machines as YAML text, with pinned host keys."""

    def run(
        self,
        name: str,
        *argv: str,
        input: str | None = None,  # noqa: A002 - as subprocess.run calls it
        timeout: float = 30.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root on a machine; its failure is not an error here."""

    def power_cut(self, name: str) -> None:
        """Cut a machine's power; its disk stays."""

    def boot(self, name: str) -> None:
        """Start a machine that is off, and wait for a login."""

    def reboot(self, name: str) -> None:
        """Shut a machine down in order, start it again, and wait for a login."""

    def cut_cable(self, name: str) -> None:
        """Disconnect a machine from the network without notice to its peers."""

    def repair_cable(self, name: str) -> None: ...

    def stay(self) -> str:
        """Let the machines outlive this process; return until when, and what removes them."""

    def down(self) -> None:
        """Remove the machines and empty their folder."""


@dataclass(frozen=True)
class Provider:
    """Makes machines.

    Attributes:
        kind: the name of its machines in the report.
        limits: what a rehearsal on them does not cover.
        unsupported: the faults that it can't inject.
        check: raises LabError, with a hint, if it can't make machines here.
        up: makes machines of these names in an empty folder and reports what takes long; leaves
            nothing if it fails.
        with_suite: returns the provider of machines that run another suite, or raises LabError;
            None if the suite is configured elsewhere.
    """

    kind: str
    limits: str
    unsupported: frozenset[Fault]
    check: Callable[[], None]
    up: Callable[[Sequence[str], Path, Callable[[str], None]], Machines]
    with_suite: Callable[[str], Provider] | None = None


@dataclass(frozen=True)
class MachineChoice:
    """The provider of the machines, and their suite ("" for the provider's default)."""

    provider: str = "nspawn"
    suite: str = ""

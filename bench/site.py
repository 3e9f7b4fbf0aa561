"""The hosts of a benchmark, each behind a relay that delays and counts."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hosts.relay import Relay
from shipit.lab.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shipit.lab.machine import Machine

QUIET = 0.02  # CPU seconds in a pause of LOOK, below which hosts count as at rest
LOOK, LONGEST = 0.25, 20.0  # seconds


@dataclass(frozen=True)
class Address:
    """How a tool reaches a host."""

    name: str
    port: int
    user: str
    key: Path
    host_key: str


@dataclass
class Site:
    """Hosts that are up.

    Attributes:
        folder: of the tools: known_hosts and ssh_config lie there.
    """

    lab: Lab
    names: tuple[str, ...]
    relays: dict[str, Relay]
    folder: Path

    @property
    def addresses(self) -> list[Address]:
        found = [(self.lab.hosts[name], self.relays[name]) for name in self.names]
        return [
            Address(host.name, relay.port, host.user, host.key, host.host_key)
            for host, relay in found
        ]

    def reset(self) -> None:
        """Give all hosts clean disks; wait until they are at rest."""
        self.lab.reset(*self.names)
        for name in self.names:
            self.lab.run(name, "systemctl", "is-system-running", "--wait")
        self.rest()

    def cpu(self) -> float:
        """Return the CPU seconds that all hosts have used since the reset."""
        return sum(_used(self.lab.hosts[name]) for name in self.names)

    def rest(self) -> None:
        """Wait until the hosts do nothing, so that one tool does not pay for another."""
        end = time.monotonic() + LONGEST
        while time.monotonic() < end:
            before = self.cpu()
            time.sleep(LOOK)
            if self.cpu() - before < QUIET:
                return

    @property
    def connections(self) -> int:
        """How many have been opened to all hosts, ever."""
        return sum(relay.connections for relay in self.relays.values())

    def count_from_zero(self) -> None:
        for relay in self.relays.values():
            relay.reset()

    def write_ssh_files(self) -> None:
        """Write known_hosts, and an ssh_config with an entry for each host."""
        known = self.folder / "known_hosts"
        known.write_text("".join(f"[127.0.0.1]:{a.port} {a.host_key}\n" for a in self.addresses))
        entries = [
            f"Host {a.name}\n HostName 127.0.0.1\n Port {a.port}\n User {a.user}\n"
            f" IdentityFile {a.key}\n IdentitiesOnly yes\n UserKnownHostsFile {known}\n"
            for a in self.addresses
        ]
        (self.folder / "ssh_config").write_text("".join(entries))


def _used(host: Machine) -> float:
    """Return the CPU seconds of a host since it was booted, by its own view of control groups."""
    shown = Path(f"/proc/{host.pid}/root/sys/fs/cgroup/cpu.stat").read_text()
    return int(shown.split()[1]) / 1e6  # usage_usec comes first


@contextmanager
def site(folder: Path, names: Sequence[str], rtt: float) -> Iterator[Site]:
    """Boot hosts, and put a relay before each; `rtt` is in seconds."""
    with ExitStack() as stack:
        lab = stack.enter_context(Lab.up(names, folder / "lab", timeout=300))
        relays = {
            name: stack.enter_context(Relay(lab.hosts[name].address, 22, rtt=rtt)) for name in names
        }
        tools = folder / "tools"
        tools.mkdir(exist_ok=True)
        made = Site(lab, tuple(names), relays, tools)
        made.write_ssh_files()
        yield made

"""Claim a lab's names on this machine (prefix, subnet, folder), and remove everything with them.

Everything a lab makes outside its folder has the claim's prefix in its name: network namespaces,
bridge, cables, control groups, machines. The claim's record is written first and removed last, so
that any process can find and remove what a killed owner left. Removes only what has the claim's
prefix or is in its folder. Does not boot anything.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

from shipit.lab.commands import LabError, call, held

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

REGISTER = Path("/run/shipit-lab")
_SLOTS = 200
_BROAD = 16  # a route wider than this (a VPN's 10.0.0.0/8) may be shadowed by a lab's /24
_CLEAR_SECONDS = 60.0
_GRACE_SECONDS = 2.0
_SYNC_SECONDS = 300.0  # an unmounted disk is written back, with pages of other disks
_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Claim:
    """The names that one lab owns until it is cleared."""

    slot: int
    folder: Path
    owner: int
    owner_started: int  # in clock ticks since boot: the process id may be reused

    @property
    def prefix(self) -> str:
        return f"shipit{self.slot}"  # with `-NN` within the 15 characters of a link's name

    @property
    def network(self) -> IPv4Network:
        return _network(self.slot)

    @property
    def gateway(self) -> str:
        return str(self.network[1])

    @property
    def record(self) -> Path:
        return REGISTER / f"{self.prefix}.json"

    def machine(self, index: int) -> str:
        """Return the name of the index-th machine, its network namespace and its cable."""
        return f"{self.prefix}-{index}"

    def address(self, index: int) -> str:
        return str(self.network[10 + index])

    @property
    def is_orphaned(self) -> bool:
        return started_at(self.owner) != self.owner_started


def claim(directory: Path) -> Claim:
    """Clear what dead owners left, then claim a free prefix and subnet for this process.

    Raises:
        LabError: there is no free one, or the register stays locked.
    """
    REGISTER.mkdir(mode=0o700, parents=True, exist_ok=True)
    with held(REGISTER / "lock", timeout=60):
        for orphan in [other for other in _claims() if other.is_orphaned]:
            with suppress(LabError):  # one that can't be cleared keeps its slot
                clear(orphan)
        slot = free_slot({other.slot for other in _claims()}, _routes())
        folder = directory.resolve() / f"shipit{slot}-{secrets.token_hex(3)}"
        owner = os.getpid()
        new = Claim(slot, folder, owner, started_at(owner))
        part = new.record.with_suffix(".part")
        part.write_text(json.dumps(asdict(new), default=str))
        part.rename(new.record)  # /run does not survive a reboot: no fsync
    return new


def free_slot(taken: Iterable[int], routes: Sequence[IPv4Network]) -> int:
    """Choose the first free slot whose subnet no narrow route covers.

    Raises:
        LabError: all are taken.
    """
    narrow = [route for route in routes if route.prefixlen >= _BROAD]
    for slot in sorted(set(range(_SLOTS)) - set(taken)):
        if not any(_network(slot).overlaps(route) for route in narrow):
            return slot
    hint = f"see {REGISTER} and `ip route`"
    raise LabError("lab-no-subnet", "no free 10.213.x.0/24 for a lab", hint=hint)


def add_bridge(claim: Claim) -> None:
    """Make the lab's bridge; this machine is the gateway on it."""
    call("ip", "link", "add", claim.prefix, "type", "bridge")
    network = f"{claim.gateway}/{claim.network.prefixlen}"
    call("ip", "address", "add", network, "dev", claim.prefix)
    call("ip", "link", "set", claim.prefix, "up")


def add_cable(claim: Claim, index: int) -> None:
    """Make a machine's network namespace and its cable to the bridge."""
    label = claim.machine(index)
    call("ip", "netns", "add", label)
    far = ("peer", "name", "host0", "netns", label)
    call("ip", "link", "add", label, "type", "veth", *far)
    call("ip", "link", "set", label, "master", claim.prefix, "up")
    address = f"{claim.address(index)}/{claim.network.prefixlen}"
    steps = (f"address add {address} dev host0", "link set lo up", "link set host0 up")
    call("ip", "-netns", label, "-batch", "-", given="\n".join(steps))


def clear(claim: Claim) -> None:
    """Remove machines, mounts, network and folder of a claim, and the claim itself.

    Raises:
        LabError: a process or a mount can't be removed.
    """
    _kill_machines(claim)
    unmount_below(claim.folder)
    for link in reversed(_owned(claim, "/sys/class/net")):  # the bridge, which sorts first, at last
        with suppress(LabError):  # a cable is deleted with its other end
            call("ip", "link", "delete", link)
    for namespace in _owned(claim, "/run/netns"):
        call("ip", "netns", "delete", namespace)
    for hierarchy in {group.parent for group in cgroups_of(claim.prefix)}:
        for group in hierarchy.glob(f"{claim.prefix}-*"):
            discard_cgroup(group)
    shutil.rmtree(claim.folder, ignore_errors=True)
    for kept in Path("/run/systemd/nspawn/propagate").glob(f"{claim.prefix}-*"):
        with suppress(OSError):
            kept.rmdir()
    claim.record.unlink(missing_ok=True)


def started_at(pid: int) -> int:
    """Return when a process started, in clock ticks since boot (proc(5)); -1 if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return -1
    state, *fields = stat.rpartition(")")[2].split()
    return -1 if state in "ZX" else int(fields[18])


def children(pid: int) -> list[int]:
    """Return the ids of a process's children; none if it has ended."""
    found: list[int] = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):
            found += map(int, listing.read_text().split())
    return found


def kill(pid: int) -> None:
    """Kill one process, if it still runs."""
    if pid <= 1:  # kill(2) takes these as groups, or as the machine's init
        raise ValueError(f"{pid} is not one process")
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def unmount_below(folder: Path) -> None:
    """Unmount everything mounted at or below a folder, innermost first."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for escaped in reversed(mounts):
        mount = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), escaped)
        if Path(mount).is_relative_to(folder):
            # lazily: a dying machine's own mounts may keep it busy for some milliseconds
            call("umount", "--lazy", mount, timeout=_SYNC_SECONDS)


def cgroups_of(machine: str) -> list[Path]:
    """Return a machine's control group in each hierarchy that its systemd would manage."""
    if (_CGROUPS / "cgroup.procs").exists():
        return [_CGROUPS / machine]
    roots = (_CGROUPS / "unified", _CGROUPS / "systemd")
    return [root / machine for root in roots if root.is_dir()]


def discard_cgroup(top: Path) -> None:
    """Remove a control group and all below it, except for those with processes."""
    for inner, _, _ in os.walk(top, topdown=False):
        with suppress(OSError):  # still busy, or systemd removed it first
            Path(inner).rmdir()


def _network(slot: int) -> IPv4Network:
    return IPv4Network(f"10.213.{slot}.0/24")


def _owned(claim: Claim, folder: str) -> list[str]:
    """Return the names in a folder that belong to a claim, sorted."""
    names = [path.name for path in Path(folder).glob(f"{claim.prefix}*")]
    return sorted(name for name in names if re.fullmatch(rf"{claim.prefix}(-\d+)?", name))


def _claims() -> Iterator[Claim]:
    for record in sorted(REGISTER.glob("shipit*.json")):
        try:
            fields = json.loads(record.read_text())
        except FileNotFoundError:  # its lab has just been removed
            continue
        yield Claim(**{**fields, "folder": Path(fields["folder"])})


def _routes() -> list[IPv4Network]:
    listed = json.loads(call("ip", "-json", "-4", "route", "show"))
    spots = [route["dst"] for route in listed if route.get("dst", "default") != "default"]
    return [IPv4Network(spot, strict=False) for spot in spots]


def _kill_machines(claim: Claim) -> None:
    """Kill what runs in the claim's machines; their supervisors then clean up and end."""
    begin = time.monotonic()
    while True:
        listed = (call("ip", "netns", "pids", name) for name in _owned(claim, "/run/netns"))
        inside = [int(pid) for text in listed for pid in text.split()]
        supervisors = _supervisors(claim)
        if not inside and not supervisors:
            return
        waited = time.monotonic() - begin
        if waited > _CLEAR_SECONDS:
            left = f"processes {inside + supervisors} of {claim.prefix} do not end"
            raise LabError("lab-left-processes", left)
        for pid in inside + (supervisors if waited > _GRACE_SECONDS else []):
            kill(pid)
        time.sleep(0.02)


def _supervisors(claim: Claim) -> list[int]:
    word = f"--machine={claim.prefix}-".encode()
    here = Path("/proc/self/ns/pid").readlink()  # a lab inside a lab may have the same names
    found: list[int] = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            arguments = (process / "cmdline").read_bytes().split(b"\0")
            named = any(argument.startswith(word) for argument in arguments)
            if named and (process / "ns/pid").readlink() == here:
                found.append(int(process.name))
    return found

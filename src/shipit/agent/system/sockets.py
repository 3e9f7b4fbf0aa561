"""Find out from /proc who listens where, and who has accepted a connection.

The former is checked before systemd would fail to bind a release's sockets. Sees IPv4, IPv6 and
unix stream sockets in this network namespace. Starts no process.
"""

import ipaddress
import os
import re
import stat
from contextlib import suppress
from typing import Dict, Iterable, Iterator, List, Mapping, Optional, Set, Tuple, Union

from ..protocol.rules import unit_text
from ..protocol.values import dataclass
from . import processes

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
ESTABLISHED, LISTENING = "01", "0A"  # include/net/tcp_states.h
UNTAKEN = "0"  # the inode of a connection that is not accepted yet
CONNECTED = "03"  # SS_CONNECTED in /proc/net/unix
ACCEPTING = 0x10000  # __SO_ACCEPTCON in /proc/net/unix's flags
WILDCARD = ipaddress.IPv6Address("::")
# Num: RefCount Protocol Flags Type St Inode Path
UNIX_ROW = re.compile(r"[0-9a-f]+:(?: [0-9A-F]+){5} [0-9]+ (/\S+)", re.ASCII)


@dataclass(frozen=True)
class Endpoint:
    """Something to listen on: an address and port, or the path of a unix socket."""

    address: Optional[Address] = None
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return self.path
        return f"port {self.port}" if self.is_wildcard else f"{self.address}:{self.port}"

    @property
    def is_wildcard(self) -> bool:
        return self.address is not None and self.address.is_unspecified

    def collides(self, other: "Endpoint") -> bool:
        """Whether only one of the two can be bound."""
        if self.path or other.path:
            return self.path == other.path
        wild = self.is_wildcard or other.is_wildcard
        return self.port == other.port and (wild or self.address == other.address)


@dataclass(frozen=True)
class Owner:
    """A process that has a listening socket open."""

    pid: int
    command: str
    unit: str  # of systemd, "" for none

    def __str__(self) -> str:
        unit = f", {self.unit}" if self.unit else ""
        return f"{self.command} (process {self.pid}{unit})"


def wanted(socket_unit: str) -> List[Endpoint]:
    """Return where an installed socket unit listens."""
    return endpoints(unit_text.listen(socket_unit))


def endpoints(addresses: Iterable[str]) -> List[Endpoint]:
    """Return the endpoints of listeners, without vsock and abstract sockets."""
    return [endpoint for endpoint in map(parse, addresses) if endpoint]


def accounts(socket_unit: str) -> Tuple[str, str]:
    """Return the user and the group of a socket unit's socket; "" for none."""
    settings = unit_text.settings(socket_unit, "Socket")
    return unit_text.last(settings, "SocketUser"), unit_text.last(settings, "SocketGroup")


def parse(text: str) -> Optional[Endpoint]:
    """Read a ListenStream= value (systemd.socket(5)); None for other kinds of address."""
    if text.startswith("/"):
        return Endpoint(path=text)
    host, _, port = text.rpartition(":")
    if not port.isdigit():
        return None
    try:
        address: Address = ipaddress.ip_address(host.strip("[]")) if host else WILDCARD
    except ValueError:
        return None
    return Endpoint(address, int(port))


def occupied(endpoints: Iterable[Endpoint]) -> Dict[Endpoint, Tuple[Owner, ...]]:
    """Return the owners of listeners that collide with the endpoints; a kernel's has none."""
    inodes = {
        endpoint: {inode for inode, taken in _listening() if taken.collides(endpoint)}
        for endpoint in endpoints
    }
    taken = {endpoint: found for endpoint, found in inodes.items() if found}
    if not taken:
        return {}
    owners = _owners(set().union(*taken.values()))
    return {
        endpoint: tuple(owner for inode in sorted(found) for owner in owners.get(inode, ()))
        for endpoint, found in taken.items()
    }


def connected_to_port(port: int, peers: Iterable[int]) -> Iterator[str]:
    """Yield the inodes of accepted TCP connections to a port, from these ports."""
    ours = set(peers)
    for fields in _tcp_rows():
        if fields[3] == ESTABLISHED and fields[9] != UNTAKEN:
            here, there = (int(fields[end].rpartition(":")[2], 16) for end in (1, 2))
            if here == port and there in ours:
                yield fields[9]


def connected_to_path(path: str) -> Iterator[str]:
    """Yield the inodes of all connections to a unix socket, accepted or waiting."""
    for name, fields in _unix_rows():
        if name == path and fields[5] == CONNECTED:
            yield fields[6]


def _listening() -> Iterator[Tuple[str, Endpoint]]:
    for fields in _tcp_rows():
        if fields[3] == LISTENING:
            host, _, port = fields[1].partition(":")
            yield fields[9], Endpoint(_address(host), int(port, 16))
    for name, fields in _unix_rows():
        if int(fields[3], 16) & ACCEPTING:
            with suppress(OSError):  # in another root any user may have bound the same name
                if stat.S_ISSOCK(os.lstat(name).st_mode):
                    yield fields[6], Endpoint(path=name)


def _tcp_rows() -> Iterator[List[str]]:
    return (fields for table in ("tcp", "tcp6") for fields in _rows(table))


def _unix_rows() -> Iterator[Tuple[str, List[str]]]:
    """Yield the path of each unix socket that has one, and the fields before it.

    The owner chooses the path, which may contain line breaks: skip lines that are no row.
    """
    for fields in _rows("unix"):
        found = UNIX_ROW.fullmatch(" ".join(fields))
        if found:
            yield found.group(1), fields


def _rows(table: str) -> List[List[str]]:
    path = os.path.join(processes.PROC, "net", table)
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            return [line.split() for line in stream.readlines()[1:]]
    except FileNotFoundError:  # no IPv6 here
        return []


def _address(text: str) -> Address:
    """Decode /proc's form: 32-bit words, each in the machine's byte order (here: little-endian)."""
    packed = b"".join(bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8))
    address = ipaddress.ip_address(packed)
    is_mapped = isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped
    return is_mapped or address


def _owners(inodes: Set[str]) -> Mapping[str, List[Owner]]:
    found: Dict[str, List[Owner]] = {}
    for pid in filter(str.isdigit, os.listdir(processes.PROC)):
        for inode in processes.sockets_of(pid) & inodes:
            command = processes.read(pid, "comm").strip() or "?"
            owner = Owner(int(pid), command, processes.unit_of(pid))
            found.setdefault(inode, []).append(owner)
    return found

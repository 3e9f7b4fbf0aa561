"""Find out whether a unit accepts connections from a listener that it shares with others.

An answer would not identify its sender, and systemd reports "active" before a service listens. So
open a connection, and read from /proc whose process has accepted it. Sends nothing. `host` imports
this on demand.
"""

import socket
import time
from contextlib import ExitStack
from typing import List, Set, Tuple

from ..system import processes, sockets
from ..system.sockets import Endpoint

TIMEOUT = 0.25  # seconds; a busy service accepts later
POLL = 0.005  # seconds
AT_ONCE = 4  # connections: the other unit can't accept them all first
LOOPBACK = "127.0.0.1"


def takes(endpoint: Endpoint, unit: str, proc: str = "/proc") -> bool:
    """Whether a process of the unit accepts one of a few connections; False if unknown."""
    with ExitStack() as stack:
        try:
            mine = [_connected(stack, endpoint) for _ in range(AT_ONCE)]
        except OSError:
            return False
        deadline = time.monotonic() + TIMEOUT
        while True:
            taken = _taken(endpoint, mine, proc)
            if taken & _sockets_of(unit, proc):
                return True
            if time.monotonic() >= deadline or (not endpoint.path and len(taken) == AT_ONCE):
                return False
            time.sleep(POLL)


def _connected(stack: ExitStack, endpoint: Endpoint) -> int:
    """Connect; return our own port, 0 for a unix socket."""
    if endpoint.path:
        sock = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        sock.settimeout(TIMEOUT)
        sock.connect(endpoint.path)
        return 0
    there = stack.enter_context(socket.create_connection(_address(endpoint), TIMEOUT))
    return int(there.getsockname()[1])


def _address(endpoint: Endpoint) -> Tuple[str, int]:
    if endpoint.is_wildcard or endpoint.address is None:
        return LOOPBACK, endpoint.port  # systemd's `::` accepts IPv4 as well
    return str(endpoint.address), endpoint.port


def _taken(endpoint: Endpoint, mine: List[int], proc: str) -> Set[str]:
    """Return the inodes of the server's ends: of our connections, or all of a unix socket."""
    if endpoint.path:
        return set(sockets.connected_to_path(endpoint.path, proc))
    return set(sockets.connected_to_port(endpoint.port, mine, proc))


def _sockets_of(unit: str, proc: str) -> Set[str]:
    """Return the inodes of all open sockets of a unit's processes."""
    pids = processes.of_unit(unit, proc)
    return {inode for pid in pids for inode in processes.sockets_of(pid, proc)}


def free_port(address: str) -> int:
    """Return a TCP port of an address that is free now."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.bind((address, 0))
        return int(sock.getsockname()[1])

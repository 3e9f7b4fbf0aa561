"""Find out whether a unit accepts connections from a listener that it shares with others.

An answer would not identify its sender, and systemd reports "active" before a service listens. So
open a connection, and read from /proc whose process has accepted it. Sends nothing.
"""

import time
from contextlib import ExitStack

from ..system import processes, sockets
from ..system.sockets import Endpoint
from . import connect

TIMEOUT = 0.25  # seconds; a busy service accepts later
POLL = 0.005  # seconds
AT_ONCE = 4  # connections: the other unit can't accept them all first
LOOPBACK = "127.0.0.1"


def takes(endpoint: Endpoint, unit: str) -> bool:
    """Whether a process of the unit accepts one of a few connections; False if unknown."""
    # systemd's `::` accepts IPv4 as well.
    address = LOOPBACK if endpoint.is_wildcard else endpoint.address or LOOPBACK
    to = endpoint.path or f"{address}:{endpoint.port}"
    with ExitStack() as stack:
        try:
            mine = [stack.enter_context(connect.opened(to, TIMEOUT)) for _ in range(AT_ONCE)]
            names = [sock.getsockname() for sock in mine]
        except OSError:
            return False
        deadline = time.monotonic() + TIMEOUT
        while True:
            # The inodes of the server's ends: of our connections, or all of a unix socket.
            if endpoint.path:
                taken = set(sockets.connected_to_path(endpoint.path))
            else:
                ours = [name[1] for name in names]
                taken = set(sockets.connected_to_port(endpoint.port, ours))
            pids = processes.of_unit(unit)
            if any(taken & processes.sockets_of(pid) for pid in pids):
                return True
            if time.monotonic() >= deadline or (not endpoint.path and len(taken) == AT_ONCE):
                return False
            time.sleep(POLL)

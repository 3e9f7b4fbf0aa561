"""Connect to a service by TCP or by its unix socket, and ask one that answers in text."""

import errno
import socket
import time
from contextlib import closing

ANSWER_LIMIT = 4 * 1024 * 1024  # bytes; haproxy needs about 600 for each server
CHUNK = 65536


def opened(to: str, timeout: float) -> socket.socket:
    """Connect to host:port, or to the path of a unix socket."""
    if not to.startswith("/"):
        address, _, port = to.rpartition(":")
        return socket.create_connection((address.strip("[]"), int(port)), timeout)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        sock.connect(to)
    except BaseException:
        sock.close()
        raise
    return sock


def asked(to: str, line: str, timeout: float) -> str:
    """Send one line, and return all that is answered until the other side closes.

    Raises:
        OSError: it cannot be reached, does not close within `timeout` seconds, or says too much.
    """
    deadline, answer = time.monotonic() + timeout, bytearray()
    with closing(opened(to, timeout)) as sock:
        sock.sendall(line.encode() + b"\n")
        while len(answer) <= ANSWER_LIMIT:
            sock.settimeout(max(0.001, deadline - time.monotonic()))
            chunk = sock.recv(CHUNK)
            if not chunk:
                return answer.decode("utf-8", "replace")
            answer += chunk
    raise OSError(errno.EMSGSIZE, f"it answers more than {ANSWER_LIMIT} bytes")


def free_port(address: str) -> int:
    """Return a TCP port of an address that is free now."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.bind((address, 0))
        return int(sock.getsockname()[1])

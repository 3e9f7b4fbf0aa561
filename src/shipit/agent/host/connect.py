"""Connect to a service by TCP or by its unix socket, and ask one that answers in text."""

import errno
import socket
import time
from contextlib import closing
from typing import List

ANSWER_LIMIT = 4 * 1024 * 1024  # bytes; haproxy needs about 600 for each server
CHUNK = 65536


class AmbiguousError(OSError):
    """A name has several addresses, which may be several services."""


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

    To look up a name takes as long as the resolver of this host takes.

    Raises:
        AmbiguousError: the name has several addresses.
        OSError: it cannot be reached, does not close within `timeout` seconds, or says too much.
    """
    deadline, answer = time.monotonic() + timeout, bytearray()
    with closing(_connected(to, deadline)) as sock:
        sock.sendall(line.encode() + b"\n")
        while len(answer) <= ANSWER_LIMIT:
            sock.settimeout(_left(deadline))
            chunk = sock.recv(CHUNK)
            if not chunk:
                return answer.decode("utf-8", "replace")
            answer += chunk
    raise OSError(errno.EMSGSIZE, f"it answers more than {ANSWER_LIMIT} bytes")


def _connected(to: str, deadline: float) -> socket.socket:
    """Connect to one service: its IPv6 address and its IPv4 address are tried in turn."""
    places = [to] if to.startswith("/") else _addresses(to)
    for number, place in enumerate(places, 1):
        try:
            return opened(place, _left(deadline) / (len(places) - number + 1))
        except OSError:
            if number == len(places):
                raise
    raise OSError(errno.EADDRNOTAVAIL, "it has no address")


def _addresses(to: str) -> List[str]:
    """Return the addresses of host:port, at most one of each family.

    With more of them, two commands could reach two different services.

    Raises:
        AmbiguousError, OSError
    """
    name, _, port = to.rpartition(":")
    try:
        found = socket.getaddrinfo(name.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except UnicodeError as error:  # an empty label, or one that is too long
        raise OSError(errno.EINVAL, "it is no name of a host") from error
    hosts = list(dict.fromkeys((family, str(address[0])) for family, *_, address in found))
    if len(hosts) > len({family for family, _ in hosts}):
        raise AmbiguousError(errno.EINVAL, f"it has {len(hosts)} addresses")
    return [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for _, host in hosts]


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError(errno.ETIMEDOUT, "it takes too long")
    return left


def free_port(address: str) -> int:
    """Return a TCP port of an address that is free now."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.bind((address, 0))
        return int(sock.getsockname()[1])

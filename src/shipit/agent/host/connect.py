"""Connect to a service by TCP or by its unix socket. Sends nothing."""

import socket


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


def free_port(address: str) -> int:
    """Return a TCP port of an address that is free now."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.bind((address, 0))
        return int(sock.getsockname()[1])

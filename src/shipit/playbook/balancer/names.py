"""Parse how haproxy is reached, and how it calls a host. Pure."""

from __future__ import annotations

import re

from shipit.agent.protocol.balancers import NAME, SOCKET
from shipit.playbook.parsers import InvalidValueError

_HIGHEST_PORT = 65535


def haproxy_name(value: object) -> str:
    """The name of a backend or a server: nothing that the runtime API could take for a command."""
    if isinstance(value, str) and re.fullmatch(NAME, value):
        return value
    raise InvalidValueError("a name in haproxy: letters, digits, and any of - _ . :", value)


def haproxy_socket(value: object) -> str:
    """Where a runtime API listens: host:port, or the path of a unix socket."""
    if isinstance(value, str) and re.fullmatch(SOCKET, value):
        port = "1" if value.startswith("/") else value.rpartition(":")[2]
        if 0 < int(port) <= _HIGHEST_PORT:
            return value
    expected = "host:port of a runtime API, or the path of its unix socket"
    raise InvalidValueError(expected, value)

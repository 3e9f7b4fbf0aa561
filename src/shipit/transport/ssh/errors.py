"""Turn an error of the socket or of paramiko into one with a code, a description and a hint.

Pure. A DroppedError may go away with another try; the others need an operator.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import paramiko

if TYPE_CHECKING:
    from shipit.errors import Unreachable
    from shipit.transport.endpoint import Endpoint


class DroppedError(Exception):
    """The host closed the connection during the handshake: it may have too many at once."""


_UP = "is the host up, the address right, a firewall between? try: ssh {address}"
_EXPLANATIONS: tuple[tuple[type[Exception], str, str, str], ...] = (  # the first that matches
    (
        socket.gaierror,
        "name-unknown",
        "the name {address} is not known",
        "set ansible_host to its address, or fix the name resolution",
    ),
    (
        ConnectionRefusedError,
        "connect-refused",
        "nobody listens at {where}",
        "is sshd running there, and on this port? set ansible_port if not",
    ),
    (TimeoutError, "connect-timeout", "no answer from {where} within {seconds:g} s", _UP),
    (
        paramiko.ChannelException,
        "jump-failed",
        "the jump host can't reach {where}: {error}",
        "is the host up, as the jump host sees it?",
    ),
    (
        paramiko.SSHException,
        "ssh-failed",
        "ssh failed: {error}",
        "does a login work? try: ssh -v {address}",
    ),
    (OSError, "connect-failed", "no connection to {where}: {error}", _UP),
)


def refusal(endpoint: Endpoint, error: Exception) -> Unreachable | DroppedError:
    """Return what to raise for an error of the socket or of paramiko."""
    if isinstance(error, paramiko.ssh_exception.NoValidConnectionsError):
        error = next(iter(error.errors.values()))
    where = f"{endpoint.address}:{endpoint.port or 22}"
    cause = error.__context__ if isinstance(error, paramiko.SSHException) else error
    if isinstance(cause, (EOFError, ConnectionResetError, BrokenPipeError)):
        return DroppedError(f"{where} closed the connection while greeting")
    if isinstance(cause, TimeoutError) or "No existing session" in str(error):
        # The text: paramiko's error for a handshake that timed out.
        error = TimeoutError()
    code, what, hint = next(found[1:] for found in _EXPLANATIONS if isinstance(error, found[0]))
    words = {
        "address": endpoint.address,
        "where": where,
        "seconds": endpoint.connect_timeout,
        "error": error,
    }
    return endpoint.unreachable(code, what.format(**words), hint.format(**words))

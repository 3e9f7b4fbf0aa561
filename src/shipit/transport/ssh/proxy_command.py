"""Run a ProxyCommand whose stdin and stdout are the connection, as in ssh_config(5).

There is no shell: the command is split into words, and then %-tokens are expanded.
"""

from __future__ import annotations

import re
import shlex
import socket
import subprocess

_STOP = 5.0  # seconds for a program to end once its input has


class ProxyCommand:
    """A running command and the socket connected to it."""

    def __init__(self, command: str, tokens: dict[str, str]) -> None:
        words = [expand(word, tokens) for word in shlex.split(command)]
        self.socket, other = socket.socketpair()
        with other:
            argv = words[1:] if words[:1] == ["exec"] else words
            self._process = subprocess.Popen(argv, stdin=other.fileno(), stdout=other.fileno())

    def close(self) -> None:
        self.socket.close()
        self._process.terminate()
        wait_or_kill(self._process)


def wait_or_kill(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_STOP)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def tokens_of(host: str, port: int, user: str) -> dict[str, str]:
    """Return the tokens that every option of ssh_config supports."""
    return {"%h": host, "%n": host, "%p": str(port), "%r": user, "%%": "%"}


def expand(word: str, tokens: dict[str, str]) -> str:
    """Expand tokens; unknown ones are unchanged."""
    return re.sub("%.", lambda found: tokens.get(found[0], found[0]), word)

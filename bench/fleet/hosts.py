"""Simulated hosts: one SSH server, at which each login name is a host with an agent of its own.

Handshakes, channels and frames are real; behind them nothing is installed or started. The process
is not the controller's, so that its CPU and memory do not count.

    python -m bench.fleet.hosts        # prints its port and its host key, and ends with its stdin
"""

from __future__ import annotations

import logging
import socket
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import paramiko

from shipit.agent.protocol import answers, messages
from shipit.agent.protocol.answers import Result

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

    from shipit.agent.protocol.manifest import Manifest

QUEUE = 1024  # connections
LONG = 3600.0  # seconds
FACTS = messages.Facts(
    protocol=messages.VERSION,
    hostname="",
    machine="x86_64",
    libc=("glibc", 2, 36),
    systemd=252,
    agent_python="3.11.2",
    interpreters=(answers.Interpreter("/usr/bin/python3.11", "3.11.2", "cpython", "x86_64"),),
    fullest="/",
    free_bytes=2**40,
    free_inodes=2**30,
    present=(),
    current=None,
    healthy=True,
    units={},
    env={},
    releases=(),
    behind=(),
    holder=None,
    recovered="",
    stuck="",
)


@dataclass
class Agent:
    """Answers for one host: it has every wheel already, and every release becomes healthy."""

    name: str
    staged: Manifest | None = None
    running: Manifest | None = None
    units: tuple[tuple[str, str], ...] = ()

    def facts(self, asked: messages.Hello) -> messages.Facts:
        return replace(
            FACTS,
            hostname=self.name,
            present=asked.blobs,
            current=self.running,
            units=dict(self.units),
            env={unit.service: {} for unit in self.running.units} if self.running else {},
            machine_digest=self.name.encode().hex(),
        )

    def answers(self, request: Any) -> Iterator[Any]:  # noqa: ANN401 - any word of the protocol
        match request:
            case messages.Hello():
                yield self.facts(request)
            case messages.Stage(manifest=wanted, texts=texts):
                self.staged = wanted
                found = texts.items()
                self.units = tuple((path[6:], text) for path, text in found if path[:6] == "units/")
                yield messages.Staged(wanted.id, reused=False)
            case messages.Activate(attempt, release):
                yield messages.Activating(attempt.txn)
                yield messages.Healthy(attempt.txn, release)
            case messages.Settle(txn):
                self.running = self.staged
                running = self.running.id if self.running else ""
                yield messages.Settled(txn, Result.COMMITTED, running)
            case _:
                pass


class Server(paramiko.ServerInterface):
    """Lets everybody in, and runs an agent whatever the command is."""

    def __init__(self, agents: dict[str, Agent]) -> None:
        self._agents = agents
        self.transport: paramiko.Transport | None = None

    def get_allowed_auths(self, username: str) -> str:  # noqa: ARG002 - paramiko's
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:  # noqa: ARG002 - same
        return int(paramiko.common.AUTH_SUCCESSFUL)

    def check_channel_request(self, kind: str, chanid: int) -> int:  # noqa: ARG002 - same
        return int(paramiko.common.OPEN_SUCCEEDED)

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:  # noqa: ARG002 - same
        assert self.transport
        name = self.transport.get_username() or ""
        agent = self._agents.setdefault(name, Agent(name))
        threading.Thread(target=_serve, args=(channel, agent), daemon=True).start()
        return True


def _serve(channel: paramiko.Channel, agent: Agent) -> None:
    """Skip what starts an agent, then answer one request after the other."""
    with suppress(OSError, EOFError), channel:
        stdin = channel.makefile("rb", 65536)
        while not (line := stdin.readline()).startswith(b"shipit-boot "):
            if not line:
                return
        stdin.read(int(line[12:]))
        stdin.readline()
        channel.sendall(b'\n{"boot": "have"}\n')
        while frame := messages.read(cast("io.BufferedReader", stdin)):
            for answer in agent.answers(frame.message):
                channel.sendall(messages.pack(answer))
        channel.sendall(messages.pack(messages.End()))
        channel.send_exit_status(0)


def main() -> None:
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # a run closes without a farewell
    key, agents = paramiko.ECDSAKey.generate(), dict[str, Agent]()
    listener = socket.create_server(("127.0.0.1", 0), backlog=QUEUE)
    threading.Thread(target=_accept, args=(listener, key, agents), daemon=True).start()
    sys.stdout.write(f"{listener.getsockname()[1]} {key.get_name()} {key.get_base64()}\n")
    sys.stdout.flush()
    sys.stdin.read()


def _accept(listener: socket.socket, key: paramiko.PKey, agents: dict[str, Agent]) -> None:
    while True:
        connection, _ = listener.accept()
        transport, server = paramiko.Transport(connection), Server(agents)
        transport.add_server_key(key)
        server.transport = transport
        with suppress(OSError, EOFError, paramiko.SSHException):
            transport.start_server(event=threading.Event(), server=server)
            # paramiko looks ten times a second whether it was closed: here the controller closes.
            connection.settimeout(LONG)


if __name__ == "__main__":
    main()

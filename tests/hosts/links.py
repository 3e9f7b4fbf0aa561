"""Connections to lab hosts with an agent that echoes, as the tests of the transport make them."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

import echo_agent
from patience import until
from shipit.agent.protocol import messages
from shipit.errors import Unreachable
from shipit.transport.connect import connect
from shipit.transport.endpoint import Endpoint
from shipit.transport.ssh.client import Limits, Network

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shipit.lab.lab import Lab
    from shipit.lab.machine import Machine
    from shipit.transport.channel import Link, Wire

HELLO = messages.Hello("demo", "/opt/demo")
AGENT = echo_agent.build()
PATIENCE = 60.0  # seconds
QUICK = Limits(interval=0.3, silence=6.0)  # a busy host may answer late


def at(host: Machine, **changes: object) -> Endpoint:
    """Reach a lab host as its user `deploy`, with its key pinned."""
    plain = Endpoint(
        name=host.name,
        address=host.address,
        port=host.port,
        user=host.user,
        key_files=(str(host.key),),
        host_key=host.host_key,
        become=True,
        connect_timeout=PATIENCE,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


@contextmanager
def linked(network: Network, place: Endpoint) -> Iterator[Link]:
    link = connect(place, AGENT, network)
    try:
        yield link
    finally:
        link.close()


@contextmanager
def talking(network: Network, place: Endpoint) -> Iterator[Wire]:
    with linked(network, place) as link:
        wire = link.open()
        yield wire
        wire.close()


def output(wire: Wire) -> str:
    wire.send(HELLO)
    frame = wire.receive(PATIENCE)
    assert frame is not None
    assert isinstance(frame.message, messages.LogLines)
    return frame.message.text


def refusal(network: Network, place: Endpoint) -> Unreachable:
    """Return the error of a connection and start of the agent that must fail."""
    with pytest.raises(Unreachable) as caught, talking(network, place):
        pass
    assert caught.value.host == place.name
    return caught.value


def trust(tmp_path: Path, line: str) -> Path:
    (tmp_path / ".ssh").mkdir(exist_ok=True)
    known = tmp_path / ".ssh" / "known_hosts"
    known.write_text(line + "\n")
    return known


def start_sshd(lab: Lab, port: int, *options: str) -> None:
    """Start another sshd on web1, and wait until it listens."""
    started = lab.run("web1", "/usr/sbin/sshd", "-p", str(port), *options)
    assert started.returncode == 0, started.stderr

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((lab.hosts["web1"].address, port)) == 0

    until(listens, lambda: f"sshd on port {port}", PATIENCE)


@dataclass(frozen=True)
class File:
    """A blob as release.Blob is one."""

    sha256: str
    path: Path
    size: int


def files_of(folder: Path, *sizes: int) -> list[File]:
    files = []
    for size in sizes:
        content = os.urandom(size)
        name = sha256(content).hexdigest()
        (folder / name).write_bytes(content)
        files.append(File(name, folder / name, size))
    return files


def arrived(wire: Wire) -> dict[str, str]:
    """Return name and real digest of every file that the host has received."""
    wire.send(messages.AskReleases())
    frame = wire.receive(PATIENCE)
    assert frame is not None
    return {line.id: line.version for line in frame.message.releases}

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, cast

import paramiko
import pytest

import echo_agent
from marks import needs_root
from shipit.agent.protocol import messages
from shipit.errors import HostError, Unreachable
from shipit.transport import bootstrap
from shipit.transport.channel import FrameWire
from shipit.transport.connect import _ChannelStream, connect
from shipit.transport.endpoint import Endpoint
from shipit.transport.ssh.client import Network

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shipit.transport.channel import Link

AGENT = echo_agent.build()
HERE = Endpoint("here", "here", connection="local")
PATIENCE = 60.0  # seconds

pytestmark = needs_root


@pytest.fixture
def link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Link]:
    """Give a link to this machine; no thread, process or descriptor of it is left."""
    threads, descriptors = set(threading.enumerate()), count_descriptors()
    with Network(tmp_path) as network:
        monkeypatch.setattr(bootstrap, "AGENTS", str(tmp_path / "agent"))
        link = connect(HERE, AGENT, network)
        yield link
        link.close()
    assert set(threading.enumerate()) == threads
    assert count_descriptors() == descriptors


def count_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_local_host_is_reached_without_ssh(link: Link) -> None:
    wire = link.open("serve")
    wire.send(messages.Hello("demo", "/opt/demo"))
    frame = wire.receive(PATIENCE)
    assert frame is not None
    version = "{}.{}".format(*sys.version_info[:2])
    assert frame.message.text.startswith(f"python {version}, uid 0, role serve")
    wire.close_send()
    last = wire.receive(PATIENCE)
    assert last is not None
    assert last.message == messages.End()
    assert wire.receive(PATIENCE) is None


def test_bodies_of_any_size_are_transferred(link: Link, tmp_path: Path) -> None:
    wire = link.open("receive")
    body = os.urandom(5_000_000)
    name = f"{tmp_path.name}-{os.getpid()}"
    wire.send(messages.Part(name, 0, len(body)), body)
    wire.close_send()
    frame = wire.receive(PATIENCE)
    assert frame is not None
    assert frame.message == messages.End()
    landed = Path("/tmp/echo") / name
    assert landed.read_bytes() == body
    landed.unlink()


def test_the_stderr_of_a_failed_local_agent_is_shown(link: Link) -> None:
    wire = link.open()
    wire.send(messages.AskStatus())
    with pytest.raises(HostError, match="exit status 1") as caught:
        wire.receive(PATIENCE)
    assert caught.value.evidence == "the agent gave up\n"


def test_a_local_python_that_is_missing_is_reported(tmp_path: Path) -> None:
    place = Endpoint("here", "here", connection="local", python="/no/python3")
    with Network(tmp_path) as network:
        link = connect(place, AGENT, network)
        with pytest.raises(Unreachable, match="python-missing"):
            link.open()
        link.close()


class _EndedChannel:
    """A channel of paramiko's whose connection was closed while something was sent."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self._ends = os.pipe()

    def fileno(self) -> int:
        return self._ends[0]

    def settimeout(self, _seconds: float) -> None: ...

    def sendall(self, _content: memoryview) -> None:
        raise self._error

    def shutdown_write(self) -> None:
        raise self._error


@pytest.mark.parametrize("error", [EOFError(), paramiko.SSHException("Channel is not open")])
def test_a_connection_that_ends_while_sending_is_a_lost_link(error: Exception) -> None:
    channel = cast("paramiko.Channel", _EndedChannel(error))
    wire = FrameWire("web1", _ChannelStream(channel, cast("paramiko.Transport", None)))
    with pytest.raises(HostError, match=r"web1: .*the connection has ended.*\[link-lost\]"):
        wire.write(b"frame")

"""An idle connection costs nothing, and a silent one is noticed."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from shipit.transport.keepalive import Keepalive, RecordingPacketizer

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 20.0  # seconds


class Transport:
    """A transport whose peer answers requests, or does not."""

    def __init__(self, sock: socket.socket, *, answers: bool) -> None:
        self.packetizer = RecordingPacketizer(sock)
        self.packetizer.last_packet = time.monotonic()
        self.requested = list[float]()
        self.closed = threading.Event()
        self._answers = answers

    def is_active(self) -> bool:
        return not self.closed.is_set()

    def global_request(self, _name: str, *, wait: bool) -> None:
        assert wait
        self.requested.append(time.monotonic())
        if self._answers:
            self.packetizer.last_packet = time.monotonic()
        else:
            assert self.closed.wait(PATIENCE)

    def close(self) -> None:
        self.closed.set()
        self.packetizer.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def test_a_thread_that_waits_for_long_is_woken_when_the_connection_is_closed(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    packetizer = RecordingPacketizer(pair[0])
    packetizer.rest()
    assert pair[0].gettimeout() == 30.0, "so it is not looked at ten times a second"
    ended = threading.Event()

    def read() -> None:
        with pytest.raises(EOFError):
            packetizer.read_message()
        ended.set()

    reader = threading.Thread(target=read)
    reader.start()
    packetizer.close()
    assert ended.wait(PATIENCE)
    reader.join()


def test_a_peer_that_speaks_is_asked_nothing(pair: tuple[socket.socket, socket.socket]) -> None:
    transport: Any = Transport(pair[0], answers=True)
    transport.packetizer.last_packet += PATIENCE  # it has spoken until then
    keepalive = Keepalive(transport, interval=0.01, silence=PATIENCE)
    threading.Event().wait(0.1)
    transport.close()
    keepalive.end()
    assert transport.requested == []


def test_one_that_is_silent_is_asked_after_the_interval_and_closed_after_the_silence(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    transport: Any = Transport(pair[0], answers=False)
    last = transport.packetizer.last_packet
    keepalive = Keepalive(transport, interval=0.05, silence=0.05)
    assert transport.closed.wait(PATIENCE)
    keepalive.end()
    (asked,) = transport.requested
    assert asked >= last + 0.05

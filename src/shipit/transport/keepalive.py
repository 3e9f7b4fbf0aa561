"""Detect a dead peer, but not a slow one.

A cut cable sends no FIN, so the peer gets keepalive requests. Its answer may be queued behind the
data that we send, so every packet from it counts as a sign of life.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import Any, cast

import paramiko
from paramiko.packet import Packetizer

_ENDING = 2.0  # seconds for the threads to end
_LOOK = 30.0  # seconds between looks at an idle connection


class RecordingPacketizer(Packetizer):
    """A packetizer that records when the last packet arrived, and may wait long for the next one.

    paramiko looks ten times a second whether a connection was closed. With a thread for each of
    hundreds of hosts, that would take all of a CPU; here closing wakes the thread.
    """

    last_packet = 0.0  # on the monotonic clock

    def __init__(self, sock: Any) -> None:  # noqa: ANN401 - a socket, or a channel like one
        super().__init__(sock)
        self._sock = sock

    def rest(self) -> None:
        """Look rarely from now on: the connection is up."""
        self._sock.settimeout(_LOOK)

    def close(self) -> None:
        if isinstance(self._sock, socket.socket):  # closing a channel of a jump host wakes it
            with suppress(OSError):  # it is closed, or was never connected
                self._sock.shutdown(socket.SHUT_RDWR)
        super().close()

    def read_message(self) -> Any:  # noqa: ANN401 - paramiko's
        message = super().read_message()
        self.last_packet = time.monotonic()
        return message


class Keepalive:
    """Closes a transport whose peer sends nothing for `silence` seconds after a request.

    A request is sent when nothing has come for `interval` seconds. The transport needs a
    RecordingPacketizer.
    """

    def __init__(self, transport: paramiko.Transport, interval: float, silence: float) -> None:
        self._transport, self._interval, self._silence = transport, interval, silence
        self._packetizer = cast("RecordingPacketizer", transport.packetizer)
        self._packetizer.rest()
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=self._send_requests, name="ssh keepalive", daemon=True
        )
        self._thread.start()

    def end(self) -> None:
        """Stop; the transport must be closed already, which ends a pending request, too."""
        self._ended.set()
        self._thread.join(_ENDING)

    def _send_requests(self) -> None:
        while not self._ended.wait(self._left()) and self._transport.is_active():
            if self._left() > 0:
                continue  # it has spoken meanwhile
            answered = threading.Event()
            guard = threading.Thread(target=self._wait_for_answer, args=[answered], daemon=True)
            guard.start()
            with suppress(paramiko.SSHException, OSError, EOFError):
                self._transport.global_request("keepalive@openssh.com", wait=True)
            answered.set()
            guard.join()

    def _left(self) -> float:
        """Return the seconds until a request is due."""
        return max(0.0, self._packetizer.last_packet + self._interval - time.monotonic())

    def _wait_for_answer(self, answered: threading.Event) -> None:
        left = self._silence
        while not answered.wait(left):
            left = self._packetizer.last_packet + self._silence - time.monotonic()
            if left <= 0:
                self._transport.close()
                return

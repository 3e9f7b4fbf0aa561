"""Detect a dead peer, but not a slow one.

A cut cable sends no FIN, so the peer gets keepalive requests. Its answer may be queued behind the
data that we send, so every packet from it counts as a sign of life.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any, cast

import paramiko
from paramiko.packet import Packetizer

_ENDING = 2.0  # seconds for the threads to end


class RecordingPacketizer(Packetizer):
    """A packetizer that records when the last packet arrived."""

    last_packet = 0.0  # on the monotonic clock

    def read_message(self) -> Any:  # noqa: ANN401 - paramiko's
        message = super().read_message()
        self.last_packet = time.monotonic()
        return message


class Keepalive:
    """Closes a transport whose peer sends nothing for `silence` seconds after a request.

    A request is sent every `interval` seconds. The transport needs a RecordingPacketizer.
    """

    def __init__(self, transport: paramiko.Transport, interval: float, silence: float) -> None:
        self._transport, self._interval, self._silence = transport, interval, silence
        self._packetizer = cast("RecordingPacketizer", transport.packetizer)
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
        while not self._ended.wait(self._interval) and self._transport.is_active():
            answered = threading.Event()
            guard = threading.Thread(target=self._wait_for_answer, args=[answered], daemon=True)
            guard.start()
            with suppress(paramiko.SSHException, OSError, EOFError):
                self._transport.global_request("keepalive@openssh.com", wait=True)
            answered.set()
            guard.join()

    def _wait_for_answer(self, answered: threading.Event) -> None:
        left = self._silence
        while not answered.wait(left):
            left = self._packetizer.last_packet + self._silence - time.monotonic()
            if left <= 0:
                self._transport.close()
                return

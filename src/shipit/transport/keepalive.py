"""Notice a peer that is dead, and leave one alone that is only slow.

No FIN comes out of a cut cable: a peer is asked for a sign of life again and again. Its answer may
wait for long behind what is being sent to it, so each word of it counts as one.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any, cast

import paramiko
from paramiko.packet import Packetizer

_ENDING = 2.0  # seconds that the threads have to end


class Hearing(Packetizer):
    """Packets of a connection, and when the last one came in."""

    heard = 0.0  # on the monotonic clock

    def read_message(self) -> Any:  # noqa: ANN401 - paramiko's
        message = super().read_message()
        self.heard = time.monotonic()
        return message


class Keepalive:
    """Closes a transport once its peer has been asked and not been heard for `silence` seconds.

    It is asked every `interval` seconds. The transport's packetizer has to be Hearing.
    """

    def __init__(self, transport: paramiko.Transport, interval: float, silence: float) -> None:
        self._transport, self._interval, self._silence = transport, interval, silence
        self._hearing = cast("Hearing", transport.packetizer)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="ssh watch", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Watch no more; the transport has to be closed already, which ends a question, too."""
        self._over.set()
        self._thread.join(_ENDING)

    def _ask(self) -> None:
        while not self._over.wait(self._interval) and self._transport.is_active():
            answered = threading.Event()
            guard = threading.Thread(target=self._listen, args=[answered], daemon=True)
            guard.start()
            with suppress(paramiko.SSHException, OSError, EOFError):
                self._transport.global_request("keepalive@openssh.com", wait=True)
            answered.set()
            guard.join()

    def _listen(self, answered: threading.Event) -> None:
        left = self._silence
        while not answered.wait(left):
            left = self._hearing.heard + self._silence - time.monotonic()
            if left <= 0:
                self._transport.close()
                return

"""The agent's end of the channel: receive requests, send answers, detect a lost controller.

Frames of several threads never mix. `send` raises ControllerDisconnected once the controller has
closed. A cut cable sends no FIN: only the silence of a controller that must renew shows it.
"""

import io
import os
import select
import threading
from typing import Any, Optional

from ..protocol import messages
from ..protocol.messages import Frame
from ..records.redactor import Redactor

BUFFER = 1 << 16  # bytes: what a pipe holds
LONGEST = 14 * 24 * 3600.0  # seconds; poll(2) counts milliseconds in 31 bits
POLLRDHUP = 0x2000  # Linux's poll.h; Python's select has it from 3.8 on not everywhere


class ControllerDisconnected(Exception):
    """The controller no longer listens."""


class Channel:
    """A descriptor for requests and one for answers; both stay open.

    Attributes:
        patience: seconds of silence after which the controller counts as lost; None: no limit.
        redacted: masks the secrets in what is sent; set once the app is known.
    """

    def __init__(self, stdin: int, stdout: int) -> None:
        self._stdin, self._stdout = stdin, stdout
        self._frames = io.BufferedReader(_ReceivedBytes(self), BUFFER)
        self._writing = threading.Lock()
        self.patience: Optional[float] = None
        self.redacted = Redactor(None)

    def read(self) -> Optional[Frame]:
        """Return the next request; None when the controller has closed.

        Raises:
            ProtocolError: the input is no frame.
            ControllerDisconnected: nothing was received for `patience` seconds.
        """
        return messages.read(self._frames)

    def receive(self, size: int) -> bytes:
        """Return the received bytes, at most `size` bytes; b"" when the controller has closed.

        Raises:
            ControllerDisconnected: nothing was received for `patience` seconds.
        """
        wait = None if self.patience is None else min(self.patience, LONGEST) * 1000
        if not _poll(self._stdin, select.POLLIN).poll(wait):
            raise ControllerDisconnected
        return os.read(self._stdin, size)

    def send(self, message: Any) -> None:
        """Send one message.

        Raises:
            ControllerDisconnected: the controller no longer reads.
        """
        content = memoryview(messages.pack(self.redacted(message)))
        try:
            with self._writing:
                while content:
                    content = content[os.write(self._stdout, content) :]
        except BrokenPipeError as error:
            raise ControllerDisconnected from error

    def listen(self) -> None:
        """Raise ControllerDisconnected if the controller has closed."""
        if self.is_closed():
            raise ControllerDisconnected

    def is_closed(self) -> bool:
        """Whether the controller has closed; what it sent before may still be unread."""
        found = _poll(self._stdin, POLLRDHUP).poll(0)
        return any(flags & (select.POLLHUP | POLLRDHUP) for _, flags in found)


class _ReceivedBytes(io.RawIOBase):
    """The channel's input, as the raw side of a buffer."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._channel.receive(len(buffer))
        buffer[: len(content)] = content
        return len(content)


def _poll(descriptor: int, events: int) -> "select.poll":
    poll = select.poll()
    poll.register(descriptor, events)
    return poll

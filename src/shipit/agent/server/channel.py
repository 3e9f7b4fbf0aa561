"""The agent's end of the channel: requests in, answers out, and a look at who is still there.

Frames of several threads never mix. Once the controller is gone, `say` raises `Gone`. A cut cable
tells nobody that it was cut: only the silence of a controller that has promised to be heard does.
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
        patience: seconds of silence after which the controller counts as gone; None for no end.
        redacted: masks the secrets in what is said, as soon as it is known whose they are.
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
            ProtocolError: what came is no frame.
            Gone: nothing came for as long as patience lasts.
        """
        return messages.read(self._frames)

    def receive(self, size: int) -> bytes:
        """Return what has come, at most `size` bytes; b"" when the controller has closed.

        Raises:
            Gone: nothing came for as long as patience lasts.
        """
        wait = None if self.patience is None else min(self.patience, LONGEST) * 1000
        if not _poll(self._stdin, select.POLLIN).poll(wait):
            raise ControllerDisconnected
        return os.read(self._stdin, size)

    def send(self, message: Any) -> None:
        """Send one message.

        Raises:
            Gone: nobody listens any more.
        """
        content = memoryview(messages.pack(self.redacted(message)))
        try:
            with self._writing:
                while content:
                    content = content[os.write(self._stdout, content) :]
        except BrokenPipeError as error:
            raise ControllerDisconnected from error

    def listen(self) -> None:
        """Raise Gone where the controller has closed."""
        if self.is_closed():
            raise ControllerDisconnected

    def is_closed(self) -> bool:
        """Whether the controller has closed; what it sent before may still be unread."""
        found = _poll(self._stdin, POLLRDHUP).poll(0)
        return any(flags & (select.POLLHUP | POLLRDHUP) for _, flags in found)


class _ReceivedBytes(io.RawIOBase):
    """What a channel hears, as the raw side of a buffer."""

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

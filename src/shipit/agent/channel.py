"""The agent's end of the channel: requests in, answers out, and a look at who is still there.

Frames of several threads never mix. Once the controller is gone, `say` raises `Gone`.
"""

import os
import select
import threading
from typing import Any, BinaryIO, Optional

from . import protocol
from .protocol import Frame

POLLRDHUP = 0x2000  # Linux's poll.h; Python's select has it from 3.8 on not everywhere


class Gone(Exception):
    """The controller no longer listens."""


class Channel:
    """A stream of requests and a descriptor for answers."""

    def __init__(self, stdin: BinaryIO, stdout: int) -> None:
        self._stdin, self._stdout = stdin, stdout
        self._writing = threading.Lock()

    def read(self) -> Optional[Frame]:
        """Return the next request; None when the controller has closed.

        Raises:
            ProtocolError: what came is no frame.
        """
        return protocol.read(self._stdin)

    def say(self, message: Any) -> None:
        """Send one message.

        Raises:
            Gone: nobody listens any more.
        """
        content = memoryview(protocol.pack(message))
        try:
            with self._writing:
                while content:
                    content = content[os.write(self._stdout, content) :]
        except BrokenPipeError as error:
            raise Gone from error

    def listen(self) -> None:
        """Raise Gone where the controller has closed."""
        if self.is_gone():
            raise Gone

    def is_gone(self) -> bool:
        """Whether the controller has closed; what it sent before may still be unread."""
        poll = select.poll()
        poll.register(self._stdin.fileno(), POLLRDHUP)
        return any(found & (select.POLLHUP | POLLRDHUP) for _, found in poll.poll(0))

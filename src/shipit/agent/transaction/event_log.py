"""The event log of a running transaction: one protocol message a line, for any session to follow.

Secrets in it are masked. A lost message never harms the transaction: on a full disk it continues
without a log. Readable by root alone, as it contains the logs of failed units. Journal and history
are authoritative, not this file.
"""

import os
from typing import Any, Iterator

from ..protocol.messages import ProtocolError, pack, unpack
from ..records.redactor import Redactor
from ..system.paths import Paths

MODE = 0o600
CHUNK = 1024 * 1024  # bytes read at once


class EventLogWriter:
    """Appends messages; each becomes visible as a whole line."""

    def __init__(self, paths: Paths) -> None:
        self._path = paths.events
        self._redacted = Redactor(paths)

    def __call__(self, message: Any) -> None:
        self._append(pack(self._redacted(message)))

    def terminate_line(self) -> None:
        """End a line that a killed predecessor left incomplete."""
        self._append(b"\n")

    def _append(self, line: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            descriptor = os.open(self._path, flags, MODE)
            try:
                os.write(descriptor, line)
            finally:
                os.close(descriptor)
        except OSError:
            return


class EventLogReader:
    """Reads the messages from the first on."""

    def __init__(self, paths: Paths) -> None:
        self._path = paths.events
        self._offset = 0
        self._begun = b""

    def unread(self) -> Iterator[Any]:
        """Yield the messages that were added since the last call."""
        while True:
            more = self._read_more()
            if not more:
                return
            *lines, self._begun = (self._begun + more).split(b"\n")
            for line in filter(None, lines):
                try:
                    yield unpack(line)[0]
                except ProtocolError:
                    continue  # an incomplete line of a killed process

    def _read_more(self) -> bytes:
        try:
            with open(self._path, "rb") as stream:
                stream.seek(self._offset)
                more = stream.read(CHUNK)
        except FileNotFoundError:
            return b""
        self._offset += len(more)
        return more

"""Write to a stream whose reader may go away.

A closed pipe (`shipit deploy ... | head`) never breaks a run: further output is dropped, the run
continues, and its exit status stays correct. Each text is written whole under a lock, flushed at
once, and redacted as a last line of defence.
"""

from __future__ import annotations

import io
import os
import threading
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from shipit.output.redaction import Hide


class OutputStream(io.TextIOBase):
    """A text stream that outlives its reader."""

    def __init__(self, stream: TextIO, hide: Hide) -> None:
        super().__init__()
        self._stream, self._hide = stream, hide
        self._lock = threading.RLock()  # a signal may come while the main thread is writing
        self.is_open = True

    @property
    def encoding(self) -> str:  # type: ignore[override] # a plain attribute in the stub
        return self._stream.encoding or "utf-8"

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        with self._lock:
            if self.is_open:
                try:
                    self._stream.write(self._fitting(self._hide(text)))
                    self._stream.flush()
                except OSError:  # the pipe's reader has gone, or the terminal was closed
                    self._leave()
        return len(text)

    def flush(self) -> None:
        """Do nothing: every write is flushed already."""

    def _fitting(self, text: str) -> str:
        return text.encode(self.encoding, "replace").decode(self.encoding)

    def _leave(self) -> None:
        """Redirect the descriptor to /dev/null: else Python's flush at exit fails."""
        self.is_open = False
        try:
            number = self._stream.fileno()
        except (OSError, ValueError):  # no descriptor behind it
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)

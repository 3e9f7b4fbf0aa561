"""uvicorn's command line, and an HTTP protocol that waits before it closes a connection.

    python patient_uvicorn.py myapp:app --fd 3 --http patient_uvicorn:PatientProtocol

A uvicorn that stops closes every connection from which it has not yet read a request. Such a
request is lost: its client has connected to the listener that is open, and was accepted.
"""

from __future__ import annotations

from uvicorn.main import main
from uvicorn.protocols.http.auto import AutoHTTPProtocol


class PatientProtocol(AutoHTTPProtocol):
    """Gives a client that has connected some time to send its request, and answers that one."""

    patience = 2.0  # seconds
    is_leaving = False

    def shutdown(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.is_leaving = True
            self.loop.call_later(self.patience, super().shutdown)
        else:
            super().shutdown()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.is_leaving and self.cycle is not None:
            self.cycle.keep_alive = False


if __name__ == "__main__":
    main()

"""A client's end of one connection: HTTP/1.1 and websockets, as much as the load needs.

An answer has a Content-Length or ends with its connection (no chunks). Who asks has to know exactly
how a request was lost, which the clients of the standard library do not tell.
"""

from __future__ import annotations

import asyncio
import base64
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

SWITCHING = 101
RESET = "reset"
TEXT_FRAME, CLOSE_FRAME, PING_FRAME, PONG_FRAME = 0x1, 0x8, 0x9, 0xA  # RFC 6455, 5.2
NO_CODE, NO_CLOSE = 1005, 1006  # RFC 6455, 7.4.1
TWO_BYTES, EIGHT_BYTES = 126, 127  # of a longer frame's length


class Lost(Exception):
    """A request got no whole answer."""

    def __init__(self, kind: str, *, is_untouched: bool = False) -> None:
        super().__init__(kind)
        self.kind = kind
        self.is_untouched = is_untouched  # it was sent, and not a byte of an answer came


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    is_last: bool  # of its connection


class Wire(asyncio.Protocol):
    """A connection to the service."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.is_closed = False
        self._how = "closed"
        self._is_amid = False  # an answer, or a websocket
        self._news = asyncio.Event()

    @classmethod
    async def to(cls, host: str, port: int) -> Self:
        try:
            _, wire = await asyncio.get_running_loop().create_connection(cls, host, port)
        except ConnectionRefusedError:
            raise Lost("refused") from None
        except OSError as error:
            raise Lost(f"no connection: {error.strerror or error}") from error
        return wire

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._news.set()

    def eof_received(self) -> None:
        self.is_closed = True
        self._news.set()

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None:
            self._how = RESET
        self.is_closed = True
        self._news.set()

    @property
    def is_usable(self) -> bool:
        """Whether a request may be sent; a server that speaks unasked is about to close."""
        return not self.is_closed and not self.received

    def send(self, data: bytes) -> None:
        self.transport.write(data)

    def drop(self) -> None:
        self.transport.abort()

    async def more(self) -> None:
        """Wait for more bytes; raises Lost when none will come."""
        if self.is_closed:
            is_untouched = not self.received and not self._is_amid
            kind = self._how if is_untouched else f"{self._how} amid an answer"
            raise Lost(kind, is_untouched=is_untouched)
        self._news.clear()
        await self._news.wait()

    async def take(self, size: int) -> bytes:
        while len(self.received) < size:
            await self.more()
        taken = bytes(self.received[:size])
        del self.received[:size]
        return taken

    async def head(self) -> tuple[int, dict[str, str]]:
        """Return an answer's status and headers; `connection` is always among these."""
        while (end := self.received.find(b"\r\n\r\n")) < 0:
            await self.more()
        first, *lines = self.received[:end].decode("latin-1").split("\r\n")
        del self.received[: end + 4]
        self._is_amid = True
        protocol, status, *_ = (*first.split(), "", "")
        if not status.isdigit():
            raise Lost("not HTTP")
        pairs = (line.partition(":") for line in lines)
        headers = {key.lower(): value.strip() for key, _, value in pairs}
        usual = "close" if protocol == "HTTP/1.0" else "keep-alive"
        return int(status), {"connection": usual, **headers}

    async def get(self, request: bytes) -> Answer:
        self._is_amid = False
        self.send(request)
        status, headers = await self.head()
        is_last = headers["connection"].lower() == "close"
        if "content-length" in headers:
            return Answer(status, await self.take(int(headers["content-length"])), is_last)
        with suppress(Lost):
            while True:
                await self.more()
        if self._how == RESET:
            raise Lost(f"{RESET} amid an answer")
        return Answer(status, bytes(self.received), is_last=True)

    async def upgrade(self, path: str, host: str) -> None:
        """Make a websocket of it."""
        key = base64.b64encode(os.urandom(16)).decode()
        self.send(
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        status, _ = await self.head()
        if status != SWITCHING:
            raise Lost(f"status {status}")

    async def message(self) -> tuple[int, bytes]:
        """Return the next frame's kind and payload; answers it where that is asked for."""
        first, size = await self.take(2)
        if size == TWO_BYTES:
            size = int.from_bytes(await self.take(2), "big")
        elif size == EIGHT_BYTES:
            size = int.from_bytes(await self.take(8), "big")
        kind, payload = first & 0x0F, await self.take(size)
        answers = {PING_FRAME: PONG_FRAME, CLOSE_FRAME: CLOSE_FRAME}
        if kind in answers:  # with a mask of zeros: a client's frames have to have one
            self.send(bytes([0x80 | answers[kind], 0x80 | size, 0, 0, 0, 0]) + payload)
        return kind, payload

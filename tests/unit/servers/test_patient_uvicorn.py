"""What a release brings along for uvicorn, on uvicorn itself: nobody's request is dropped."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from shipit.servers.programs.patient_uvicorn import PatientProtocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

REQUEST = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
FOR_EVER = 3600.0


class Connection:
    """A client's end of a connection to an app behind the protocol."""

    def __init__(self, client: socket.socket, protocol: PatientProtocol) -> None:
        self._client, self.protocol = client, protocol

    @classmethod
    async def made(cls, patience: float) -> Connection:
        config = Config(app, http=PatientProtocol, log_config=None)
        config.load()
        client, server = socket.socketpair()
        client.setblocking(False)

        def protocol() -> PatientProtocol:
            made = PatientProtocol(config=config, server_state=ServerState(), app_state={})
            made.patience = patience
            return made

        _, made = await asyncio.get_running_loop().connect_accepted_socket(protocol, server)
        return cls(client, made)

    async def send(self) -> None:
        await asyncio.get_running_loop().sock_sendall(self._client, REQUEST)

    async def received(self, end: bytes = b"") -> bytes:
        """Return what the server sends, up to an end, or until it closes."""
        found = b""
        while not end or not found.endswith(end):
            part = await asyncio.get_running_loop().sock_recv(self._client, 4096)
            if not part:
                self._client.close()
                break
            found += part
        return found


async def app(_scope: Any, _receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:  # noqa: ANN401
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"here"})


def played(talk: Coroutine[Any, Any, bytes]) -> bytes:
    return asyncio.run(asyncio.wait_for(talk, timeout=60))


def test_a_request_that_comes_after_the_stop_is_answered_and_the_last_one() -> None:
    async def late() -> bytes:
        connection = await Connection.made(FOR_EVER)
        connection.protocol.shutdown()
        await connection.send()
        return await connection.received()

    answer = played(late())
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(LAST_CHUNK)


def test_a_client_that_sends_nothing_is_not_waited_for_forever() -> None:
    async def silent() -> bytes:
        connection = await Connection.made(0)
        connection.protocol.shutdown()
        return await connection.received()

    assert played(silent()) == b""


def test_a_connection_that_was_kept_gets_one_more_answer() -> None:
    async def kept() -> bytes:
        connection = await Connection.made(FOR_EVER)
        await connection.send()
        assert await connection.received(LAST_CHUNK)
        connection.protocol.shutdown()
        await connection.send()
        return await connection.received()

    assert played(kept()).endswith(LAST_CHUNK)

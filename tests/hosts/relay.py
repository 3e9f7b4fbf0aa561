"""A TCP relay that adds latency, counts, and can be cut: the wire between a controller and a host.

    with Relay(host.address, 22, rtt=0.1) as relay:
        ...                        # connect to 127.0.0.1:relay.port
        assert relay.sent < 1000

Client bytes are counted when they arrive here, server bytes when they leave for the client. With
`rate`, what the client sends arrives at so many bytes a second, and as much as it likes waits here:
a bloated uplink.
"""

from __future__ import annotations

import asyncio
import math
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

_CHUNK = 64 * 1024
_CHUNKS_UNDER_WAY = 1024  # 64 MiB: more than any window in these tests
_PATIENCE = 60.0  # seconds
_Arrival = tuple[float, bytes]  # when it may leave; empty bytes are the end of the stream


class Relay:
    """Listens on 127.0.0.1 while it is entered; counters may be read from any thread."""

    def __init__(
        self, host: str, port: int = 22, *, rtt: float = 0.0, rate: float = math.inf
    ) -> None:
        self._target = (host, port)
        self._delay, self._rate = rtt / 2, rate
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self.port = 0
        self.connections = 0
        self.reset()

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(_PATIENCE)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(_PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE)
        self._loop.close()

    def reset(self) -> None:
        """Count from zero."""
        self.sent = self.received = self.turns = 0
        self._is_clients_turn = False

    def cut(self) -> None:
        """Forward nothing any more from here on, and tell nobody: no FIN, no RST."""
        asyncio.run_coroutine_threadsafe(self._stop_flowing(), self._loop).result(_PATIENCE)

    def mend(self) -> None:
        """Forward again, what was held back first."""
        self._loop.call_soon_threadsafe(self._flowing.set)

    async def _stop_flowing(self) -> None:
        self._flowing.clear()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._carry(reader, writer))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _carry(
        self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        self.connections += 1
        to_server: asyncio.StreamWriter | None = None
        try:
            await self._flowing.wait()
            from_server, to_server = await asyncio.open_connection(*self._target)
            there: asyncio.Queue[_Arrival] = asyncio.Queue(_CHUNKS_UNDER_WAY)
            back: asyncio.Queue[_Arrival] = asyncio.Queue(_CHUNKS_UNDER_WAY)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._take(from_client, there, is_client=True))
                group.create_task(self._give(there, to_server, is_client=False))
                group.create_task(self._take(from_server, back, is_client=False))
                group.create_task(self._give(back, to_client, is_client=True))
        except* OSError:
            pass  # one end reset the connection: aborting both, below, passes it on
        finally:
            for writer in (to_client, to_server):
                if writer is not None:
                    writer.transport.abort()

    async def _take(
        self, reader: asyncio.StreamReader, line: asyncio.Queue[_Arrival], *, is_client: bool
    ) -> None:
        while True:
            chunk = await reader.read(_CHUNK)
            await self._flowing.wait()
            if is_client and chunk:
                self.sent += len(chunk)
            if chunk and is_client is not self._is_clients_turn:
                self._is_clients_turn = is_client
                self.turns += is_client  # the client speaks after the server, or first
            await line.put((self._loop.time() + self._delay, chunk))
            if not chunk:
                return

    async def _give(
        self, line: asyncio.Queue[_Arrival], writer: asyncio.StreamWriter, *, is_client: bool
    ) -> None:
        while True:
            due, chunk = await line.get()
            if (wait := due - self._loop.time()) > 0:
                await asyncio.sleep(wait)
            await self._flowing.wait()
            if not chunk:
                with suppress(OSError):
                    writer.write_eof()
                return
            if is_client:
                self.received += len(chunk)
            writer.write(chunk)
            await writer.drain()
            if not is_client:
                await asyncio.sleep(len(chunk) / self._rate)

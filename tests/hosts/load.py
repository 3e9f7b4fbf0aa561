"""Many clients of a service that record every request that a hand-over loses.

    PYTHONPATH=tests python -m hosts.load http://10.0.0.2:8000/ --rate 500 --websocket /ws

Runs until its standard input ends. Prints a tally each second, and at the end the result, as JSON;
tests run it by `Load`, in a separate process, so that neither slows the other down.

Latency counts from the moment a request was due, not from when its client sent it, so that a pause
counts for every request that was due in it. A kept connection that the server closes between two
requests is opened again, as every client does. One that is closed without a byte of answer to a
request may have been closed just before it arrived: HTTP allows to retry a GET then, on a new
connection (RFC 9112, 9.3.1); these are counted separately. Everything else without a good answer,
which is JSON with a `version`, is a failure.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from itertools import count
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from hosts.book import Book, Close, Result
from hosts.wire import CLOSE_FRAME, NO_CLOSE, NO_CODE, TEXT_FRAME, Answer, Lost, Wire

KEPT, FRESH, LONG, WEBSOCKET = "kept", "fresh", "long", "websocket"
TALLY_EVERY = 1.0  # seconds
LEAVING = 30.0  # seconds, beyond the timeout of pending requests
BEFORE_AGAIN = 0.1  # seconds; so that a refused client does not spin
OK = 200


@dataclass(frozen=True)
class Demand:
    """The clients and their rate of requests."""

    rate: float = 500.0  # requests a second, of those that keep connections and those that do not
    kept: int = 20
    fresh: int = 20
    long: int = 0  # requests that are always under way
    long_page: str = "/slow?seconds=10"
    websocket: str = ""  # a path; "" for none
    patience: float = 60.0  # seconds for an answer


def kind_of(error: Lost | TimeoutError) -> str:
    return error.kind if isinstance(error, Lost) else "timeout"


class Client:
    """Requests a page repeatedly, on one connection or on a new one each time."""

    def __init__(self, crowd: Crowd, page: str, kind: str) -> None:
        self._crowd, self._book, self._kind = crowd, crowd.book, kind
        ending = "" if kind == KEPT else "Connection: close\r\n"
        self._head = f"GET {page} HTTP/1.1\r\nHost: {crowd.host}\r\n{ending}\r\n".encode()
        self._wire: Wire | None = None

    async def ask(self, due: float) -> bool:
        """Send one request; return whether the answer was good."""
        self._book.requests += 1
        try:
            async with asyncio.timeout(self._crowd.demand.patience):
                answer = await self._answer()
        except (Lost, TimeoutError) as error:
            self._let_go()
            self._book.failed(kind_of(error), self._kind, due)
            return False
        if answer.is_last or self._kind != KEPT:
            self._let_go()
        return self._noted(answer, due)

    async def _answer(self) -> Answer:
        if self._wire is not None and not self._wire.is_usable:
            self._let_go()
            self._book.reconnected += 1
        if self._wire is not None:
            try:
                return await self._wire.get(self._head)
            except Lost as lost:
                if not lost.is_untouched:
                    raise
            self._let_go()
            self._book.retried += 1
        self._wire = await self._crowd.connected()
        return await self._wire.get(self._head)

    def _noted(self, answer: Answer, due: float) -> bool:
        version = self._book.version_in(answer.body)
        if answer.status != OK or not version:
            kind = "no version" if answer.status == OK else f"status {answer.status}"
            self._book.failed(kind, self._kind, due)
            return False
        return True

    def _let_go(self) -> None:
        if self._wire is not None:
            self._wire.drop()
            self._wire = None


class Websocket:
    """Stays connected, and records how the server ends the connection."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd, self._book = crowd, crowd.book

    async def stay(self) -> None:
        """Connect, and wait for the end of that."""
        began, patience = time.monotonic(), self._crowd.demand.patience
        self._book.requests += 1
        wire: Wire | None = None
        try:
            async with asyncio.timeout(patience):
                wire = await self._crowd.connected()
                await wire.upgrade(self._crowd.demand.websocket, self._crowd.host)
            self._book.closes.append(await self._end(wire))
        except (Lost, TimeoutError) as error:
            self._book.failed(kind_of(error), WEBSOCKET, began)
        finally:
            if wire is not None:
                wire.drop()

    async def _end(self, wire: Wire) -> Close:
        version = ""
        while True:
            try:
                async with asyncio.timeout(self._crowd.demand.patience):
                    kind, payload = await wire.message()
            except Lost:
                return Close(time.time(), NO_CLOSE, version)
            if kind == TEXT_FRAME:
                version = self._book.version_in(payload)
            elif kind == CLOSE_FRAME:
                code = int.from_bytes(payload[:2], "big") or NO_CODE
                return Close(time.time(), code, version)


class Crowd:
    """All clients of one service."""

    def __init__(self, url: str, demand: Demand) -> None:
        parts = urlsplit(url)
        self.host, self._port = parts.hostname or "", parts.port or 80
        self._page = parts.path or "/"
        self.demand, self.book = demand, Book()
        self._over = asyncio.Event()

    async def connected(self) -> Wire:
        return await Wire.to(self.host, self._port)

    async def come(self) -> Result:
        """Send requests until `leave`, and wait for the pending ones."""
        demand = self.demand
        kinds = [KEPT] * demand.kept + [FRESH] * demand.fresh
        async with asyncio.TaskGroup() as group:
            for place, kind in enumerate(kinds):
                group.create_task(self._on_time(Client(self, self._page, kind), place, len(kinds)))
            for _ in range(demand.long):
                group.create_task(self._over_and_over(Client(self, demand.long_page, LONG)))
            lookers_on = [group.create_task(self._tell())]
            if demand.websocket:
                lookers_on.append(group.create_task(self._stay_connected()))
            await self._over.wait()
            self.book.end()
            for task in lookers_on:
                task.cancel()
        return self.book.result()

    def leave(self) -> None:
        self._over.set()

    async def _on_time(self, client: Client, place: int, of: int) -> None:
        """Send a client's requests when they are due; late ones as soon as possible."""
        book, interval = self.book, of / self.demand.rate
        for turn in count():
            due = book.began + (turn + place / of) * interval
            if (early := due - time.monotonic()) > 0:
                await asyncio.sleep(early)
                book.own_delay = max(book.own_delay, time.monotonic() - due)
            if self._over.is_set():
                return
            if await client.ask(due):
                book.answered(due)

    async def _over_and_over(self, client: Client) -> None:
        while not self._over.is_set():
            if not await client.ask(time.monotonic()):
                await asyncio.sleep(BEFORE_AGAIN)

    async def _stay_connected(self) -> None:
        websocket = Websocket(self)
        while True:
            await websocket.stay()
            await asyncio.sleep(BEFORE_AGAIN)

    async def _tell(self) -> None:
        while True:
            say(self.book.tally())
            await asyncio.sleep(TALLY_EVERY)


class Load:
    """Clients in a separate process that run while the block is entered.

    with Load(url, Demand(rate=100)) as load:
        ...                     # load.tally
    load.result
    """

    def __init__(self, url: str, demand: Demand) -> None:
        self._url, self._demand, self._last = url, demand, "{}"

    def __enter__(self) -> Self:
        options = [
            f"--{key.replace('_', '-')}={value}" for key, value in asdict(self._demand).items()
        ]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "hosts.load", self._url, *options],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(self._demand.patience + LEAVING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()

    @property
    def tally(self) -> dict[str, int]:
        """The latest numbers of requests, failures and so on."""
        assert self._process.poll() is None, "the load has died: see above"
        tally: dict[str, int] = json.loads(self._last)
        return tally

    @property
    def result(self) -> Result:
        assert self._process.returncode == 0, "the load has died: see above"
        return Result.read(self._last)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._last = line


def say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def come(url: str, demand: Demand) -> Result:
    """Run the clients until standard input ends, or a signal arrives."""
    loop, crowd = asyncio.get_running_loop(), Crowd(url, demand)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, crowd.leave)

    def wait_for_the_end() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        with suppress(RuntimeError):  # it is over, by a signal
            loop.call_soon_threadsafe(crowd.leave)

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    return await crowd.come()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url")
    for each in fields(Demand):
        option = f"--{each.name.replace('_', '-')}"
        parser.add_argument(option, type=type(each.default), default=each.default)
    wanted = vars(parser.parse_args())
    say(asdict(asyncio.run(come(wanted.pop("url"), Demand(**wanted)))))


if __name__ == "__main__":
    main()

"""The load records every way in which a request can be lost, and nothing else."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from hosts.load import Crowd, Demand, Load
from patience import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hosts.book import Book, Result

    Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]

PATIENCE = 60.0  # seconds
BODY = b'{"version": "1.0.0"}'
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + BODY
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
KEPT, FRESH = Demand(rate=50, kept=1, fresh=0), Demand(rate=50, kept=0, fresh=1)
ONE_HELLO = bytes([0x81, len(BODY)]) + BODY


def came(serve: Serve, enough: Callable[[Book], bool], demand: Demand) -> Result:
    """Run clients against a service until enough has happened."""
    return asyncio.run(_came(serve, enough, demand))


async def _came(serve: Serve, enough: Callable[[Book], bool], demand: Demand) -> Result:
    numbers = itertools.count()

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer, next(numbers))
        finally:
            writer.close()

    server = await asyncio.start_server(served, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        return await _seen(Crowd(f"http://127.0.0.1:{port}/", demand), enough)


async def _seen(crowd: Crowd, enough: Callable[[Book], bool]) -> Result:
    coming = asyncio.create_task(crowd.come())
    async with asyncio.timeout(PATIENCE):
        while not enough(crowd.book):  # noqa: ASYNC110 - a book rings no bell
            await asyncio.sleep(0.01)
        crowd.leave()
        return await coming


async def asked(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return b""


async def answers_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _n: int) -> None:
    while await asked(reader):
        writer.write(GOOD)


def answering(text: bytes) -> Serve:
    """Give a service that says this to each request and closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _n: int) -> None:
        await asked(reader)
        writer.write(text)

    return serve


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _n: int) -> None:
    await asked(reader)
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def is_silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter, _n: int) -> None:
    await asked(reader)
    await reader.read()


async def first_answers_then_closes(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _n: int
) -> None:
    await asked(reader)
    writer.write(GOOD)
    await asked(reader)


def answered(number: int) -> Callable[[Book], bool]:
    return lambda book: len(book.latencies) >= number


def failed(book: Book) -> bool:
    return bool(book.failures)


def test_every_answer_of_a_good_service_is_counted_for_its_version() -> None:
    demand = Demand(rate=200, kept=2, fresh=2, long=1)
    result = came(answers_all, answered(40), demand)
    assert (result.failures, result.retried, result.reconnected) == ([], 0, 0)
    assert result.versions == {"1.0.0": result.requests}


@pytest.mark.parametrize(
    ("serve", "kind"),
    [
        (answering(b""), "closed"),
        (answering(GOOD[:-5]), "closed amid an answer"),
        (answering(GOOD[: -len(BODY)]), "closed amid an answer"),
        (answering(GOOD[:10]), "closed amid an answer"),
        (answering(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"), "status 503"),
        (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"), "no version"),
        (answering(b"what?\r\n\r\n"), "not HTTP"),
        (resets, "reset"),
        (is_silent, "timeout"),
    ],
)
def test_a_request_without_a_good_answer_is_a_failure(serve: Serve, kind: str) -> None:
    result = came(serve, failed, replace(FRESH, patience=0.5 if kind == "timeout" else PATIENCE))
    assert {(each.kind, each.client) for each in result.failures} == {(kind, "fresh")}
    assert result.retried == 0


def test_an_answer_of_a_sick_release_is_a_failure_and_counted_for_its_version() -> None:
    text = b"HTTP/1.1 500 Sick\r\nContent-Length: 20\r\n\r\n" + BODY
    result = came(answering(text), failed, FRESH)
    assert {each.kind for each in result.failures} == {"status 500"}
    assert result.versions == {"1.0.0": len(result.failures)}


def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    result = came(answering(b"HTTP/1.1 200 OK\r\n\r\n" + BODY), answered(5), FRESH)
    assert (result.failures, result.versions) == ([], {"1.0.0": result.requests})


def test_a_refused_connection_is_a_failure() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        crowd = Crowd(f"http://127.0.0.1:{nobody.getsockname()[1]}/", KEPT)
        result = asyncio.run(_seen(crowd, failed))
    assert {each.kind for each in result.failures} == {"refused"}


def test_a_kept_connection_that_was_closed_between_requests_is_opened_anew() -> None:
    seldom = replace(KEPT, rate=5.0)
    result = came(answering(GOOD), answered(5), seldom)
    assert result.failures == []
    assert result.reconnected + result.retried >= 4
    # Who is late asks at once, and can't have heard of the end before.
    assert result.retried == 0 or result.latency["max"] > 0.9 / seldom.rate


def test_a_kept_connection_that_is_closed_by_a_request_is_retried_and_counted_apart() -> None:
    result = came(first_answers_then_closes, answered(10), KEPT)
    assert result.failures == []
    assert result.retried >= 4


def test_a_retry_that_is_lost_too_is_a_failure() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, n: int) -> None:
        if n == 0:
            await first_answers_then_closes(reader, writer, n)
        else:
            await asked(reader)

    result = came(serve, failed, KEPT)
    assert result.retried == 1
    assert result.failures[0].kind == "closed"


def test_a_kept_connection_that_ends_amid_an_answer_is_a_failure() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _n: int) -> None:
        await asked(reader)
        writer.write(GOOD)
        await asked(reader)
        writer.write(GOOD[: -len(BODY)])

    result = came(serve, failed, KEPT)
    assert result.retried == 0
    assert result.failures[0].kind == "closed amid an answer"


def test_an_answer_of_http_1_0_ends_its_connection() -> None:
    text = b"HTTP/1.0 200 OK\r\nContent-Length: 20\r\n\r\n" + BODY
    result = came(answering(text), answered(5), KEPT)
    assert (result.failures, result.retried, result.reconnected) == ([], 0, 0)


def test_a_pause_is_felt_by_all_who_would_have_come_meanwhile() -> None:
    pauses = iter([0.0] * 10 + [1.0])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _n: int) -> None:
        while await asked(reader):
            await asyncio.sleep(next(pauses, 0.0))
            writer.write(GOOD)

    result = came(serve, answered(100), KEPT)
    assert result.latency["p99"] >= 0.5
    assert result.longest_pause >= 0.9


def test_a_service_that_answers_no_more_is_a_pause_too() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _n: int) -> None:
        for _ in range(10):
            await asked(reader)
            writer.write(GOOD)
        await is_silent(reader, writer, 0)

    def is_silent_for_long(book: Book) -> bool:
        answers = len(book.latencies)
        heard.setdefault(answers, time.monotonic())
        return answers >= 10 and time.monotonic() - heard[answers] > 1.2

    heard: dict[int, float] = {}  # how many answers -> since when
    result = came(serve, is_silent_for_long, replace(KEPT, patience=5))
    assert result.longest_pause >= 1.0


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        (bytes([0x88, 2]) + struct.pack(">H", 1012), 1012),
        (bytes([0x88, 0]), 1005),
        (b"", 1006),
    ],
)
def test_the_end_of_a_websocket_is_noted_with_its_code_and_version(
    ending: bytes, code: int
) -> None:
    demand = Demand(rate=50, kept=0, fresh=0, websocket="/ws")
    serve = answering(SWITCH + ONE_HELLO + ending)
    result = came(serve, lambda book: bool(book.closes), demand)
    assert {(each.code, each.version) for each in result.closes} == {(code, "1.0.0")}
    assert result.failures == []


def test_a_websocket_answers_pings_as_long_as_it_lives() -> None:
    ponged = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _n: int) -> None:
        await asked(reader)
        writer.write(SWITCH + ONE_HELLO + bytes([0x89, 2]) + b"hi")
        ponged.append(await reader.readexactly(8))
        writer.write(bytes([0x88, 2]) + struct.pack(">H", 1001))

    demand = Demand(kept=0, fresh=0, websocket="/ws")
    result = came(serve, lambda book: bool(book.closes), demand)
    assert ponged[0] == bytes([0x8A, 0x82, 0, 0, 0, 0]) + b"hi"
    assert result.closes[0].code == 1001


def test_a_websocket_that_is_not_let_in_is_a_failure() -> None:
    demand = Demand(kept=0, fresh=0, websocket="/ws", patience=5)
    text = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
    result = came(answering(text), failed, demand)
    assert {(each.kind, each.client) for each in result.failures} == {("status 503", "websocket")}


def test_a_request_that_is_under_way_when_it_is_over_comes_to_its_end() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _n: int) -> None:
        await asked(reader)
        await asyncio.sleep(1)
        writer.write(GOOD)

    demand = Demand(kept=0, fresh=0, long=1)
    result = came(serve, lambda book: book.requests > 0, demand)
    assert result.versions == {"1.0.0": result.requests}
    assert result.failures == []


def test_the_load_is_a_process_that_reports_how_it_goes() -> None:
    ready, over = threading.Event(), threading.Event()
    ports = []

    async def serve() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await answers_all(reader, writer, 0)
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
        ready.set()
        await asyncio.to_thread(over.wait, PATIENCE)
        server.close()

    thread = threading.Thread(target=asyncio.run, args=[serve()])
    thread.start()
    assert ready.wait(PATIENCE)
    with Load(f"http://127.0.0.1:{ports[0]}/", Demand(rate=50, kept=1, fresh=1)) as load:
        until(lambda: load.tally.get("requests", 0) >= 20, lambda: load.tally, PATIENCE)
    over.set()
    thread.join(PATIENCE)
    assert load.result.failures == []
    assert load.result.versions == {"1.0.0": load.result.requests}

from __future__ import annotations

import socket
import threading
import time
import tracemalloc
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from shipit.agent.host import probes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE = 60.0  # seconds
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
LONG = bytes(900)


@contextmanager
def answering(listener: socket.socket, answer: Callable[[socket.socket], None]) -> Iterator[None]:
    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            answer(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield
    thread.join(PATIENCE)
    listener.close()


def plainly(answer: bytes) -> Callable[[socket.socket], None]:
    def reply(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(answer)

    return reply


def dribbling(head: bytes) -> Callable[[socket.socket], None]:
    """Send a byte now and then for much longer than the probe waits, until it hangs up."""

    def dribble(connection: socket.socket) -> None:
        with suppress(OSError):
            connection.sendall(head)
            for byte in LONG:
                connection.sendall(bytes([byte]))
                time.sleep(0.05)

    return dribble


@pytest.fixture
def listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def url(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}/healthz?x=1"


@pytest.mark.parametrize(
    ("sent", "status", "body"),
    [
        (OK, 200, b"hi"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://x/\r\nContent-Length: 0\r\n\r\n", 302, b""),
    ],
)
def test_an_http_answer_is_passed_on_as_it_is(
    listener: socket.socket, sent: bytes, status: int, body: bytes
) -> None:
    with answering(listener, plainly(sent)):
        answer = probes.get(url(listener), PATIENCE)
    assert (answer.error, answer.status, answer.body) == ("", status, body)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\nConnection: close\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n",
    ],
)
def test_a_service_that_dribbles_is_cut_off_in_time(listener: socket.socket, head: bytes) -> None:
    with answering(listener, dribbling(head)):  # it would be whole after 45 s
        answer = probes.get(url(listener), 0.3)
    assert answer.error == "no answer within 0.3 s"


def pouring(head: bytes, more: bytes) -> Callable[[socket.socket], None]:
    """Send without an end, until the probe hangs up."""

    def pour(connection: socket.socket) -> None:
        connection.settimeout(5.0)  # whose window was full when it hung up is reported late
        with suppress(OSError):
            connection.sendall(head)
            while True:
                connection.sendall(more)

    return pour


@pytest.mark.parametrize(
    ("head", "more"),
    [
        (b"", b"x" * 65536),  # a status line
        (b"", b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n" * 1000),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 1000),
        (b"HTTP/1.1 200 OK\r\n", b"X: " + b"y" * 65000 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"y" * 65536),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", b"x" * 65536),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n", b"x" * 65536),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1" * 65536),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 1000),
    ],
)
def test_a_service_that_answers_without_an_end_fills_no_memory(
    listener: socket.socket, head: bytes, more: bytes
) -> None:
    with answering(listener, pouring(head, more)):
        tracemalloc.start()
        try:
            answer = probes.get(url(listener), 1.0)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 64 * 2**20
    assert answer.error or len(answer.body) <= probes.BODY_LIMIT


def test_an_answer_that_is_no_http_is_reported(listener: socket.socket) -> None:
    with answering(listener, plainly(b"SSH-2.0-x\r\n")):
        assert "not an HTTP answer" in probes.get(url(listener), PATIENCE).error


def test_a_refused_connection_is_an_answer(listener: socket.socket) -> None:
    listener.close()
    assert probes.tcp("127.0.0.1", 1, PATIENCE).error == "connection refused"
    assert probes.get("http://127.0.0.1:1/", PATIENCE).error == "connection refused"


@pytest.mark.parametrize("bad", ["ftp://x/", "http:///x", "http://x:99999/", "nonsense"])
def test_an_invalid_url_is_reported(bad: str) -> None:
    assert "not a valid URL" in probes.get(bad, 1.0).error


def test_a_unix_socket_is_connected_to_and_asked(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    assert probes.unix(path, 1.0).error == "no such file or directory"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        assert probes.unix(path, PATIENCE).error == ""
        listener.accept()[0].close()
        with answering(listener, plainly(OK)):
            assert probes.get("http://localhost/healthz", PATIENCE, path).body == b"hi"


def test_a_request_has_the_headers_and_the_host_that_it_is_given(listener: socket.socket) -> None:
    asked: list[bytes] = []

    def reply(connection: socket.socket) -> None:
        asked.append(connection.recv(4096))
        connection.sendall(OK)

    headers = {"Host": "www.example.com", "X-Forwarded-Proto": "https"}
    with answering(listener, reply):
        assert probes.get(url(listener), PATIENCE, headers=headers).status == 200
    lines = asked[0].split(b"\r\n")
    assert [line for line in lines if line.lower().startswith(b"host:")] == [
        b"Host: www.example.com"
    ]
    assert b"X-Forwarded-Proto: https" in lines


def test_tls_asks_for_the_host_that_is_given(listener: socket.socket) -> None:
    """As of an nginx on 127.0.0.1, whose certificate is for the name of the site."""
    asked: list[bytes] = []
    with answering(listener, lambda connection: asked.append(connection.recv(4096))):
        secure = url(listener).replace("http:", "https:")
        assert probes.get(secure, PATIENCE, headers={"host": "www.example.com:8443"}).error
    assert b"www.example.com" in asked[0]  # the server_name of its ClientHello
    assert b"8443" not in asked[0]


def test_where_a_redirect_leads_is_in_the_answer(listener: socket.socket) -> None:
    sent = b"HTTP/1.1 302 Found\r\nLocation: " + b"x" * 900 + b"\r\nContent-Length: 0\r\n\r\n"
    with answering(listener, plainly(sent)):
        assert probes.get(url(listener), PATIENCE).location == "x" * probes.LOCATION_LIMIT

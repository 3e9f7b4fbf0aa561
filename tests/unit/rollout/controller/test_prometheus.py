"""A Prometheus that answers well, badly, too much, too late, or not at all."""

from __future__ import annotations

import json
import math
import socket
import threading
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest

from http_server import answer, serving
from shipit.rollout.controller import prometheus
from shipit.rollout.controller.prometheus import MetricsError, ask
from shipit.secrets import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

TIMEOUT = 20.0  # seconds; nothing here waits for it


def vector(*values: str) -> dict[str, Any]:
    result = [{"metric": {}, "value": [1767225600.0, value]} for value in values]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


def handler(respond: Callable[[BaseHTTPRequestHandler], None]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            respond(self)

        def log_message(self, *_: object) -> None: ...

    return Handler


def asked(body: object, status: int = 200, **headers: str) -> float | None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    with serving(handler(lambda to: answer(to, status, content, **headers))) as url:
        return ask(url, "up", None, TIMEOUT)


def refused(body: object, status: int = 200, **headers: str) -> str:
    with pytest.raises(MetricsError) as caught:
        asked(body, status, **headers)
    return str(caught.value)


def test_a_query_returns_its_one_number() -> None:
    assert asked(vector("0.25")) == 0.25
    assert asked({"data": {"resultType": "scalar", "result": [1767225600.0, "3"]}}) == 3


def test_a_query_without_data_returns_nothing_and_nan_is_a_number() -> None:
    assert asked(vector()) is None
    found = asked(vector("NaN"))
    assert found is not None
    assert math.isnan(found)
    assert asked(vector("+Inf")) == math.inf


def test_query_and_token_are_sent_and_the_token_is_not_in_the_url() -> None:
    seen: list[tuple[str, object, str | None]] = []

    def respond(to: BaseHTTPRequestHandler) -> None:
        seen.append((to.path, to.form["query"], to.headers["Authorization"]))  # type: ignore[attr-defined] # of the handler
        answer(to, 200, json.dumps(vector("1")).encode())

    query = 'sum(up{instance=~"(web1|web2):.*"})'
    with serving(handler(respond)) as url:
        assert ask(f"{url}/prom", query, Secret("hunter2"), TIMEOUT) == 1
    assert seen == [("/prom/api/v1/query", [query], "Bearer hunter2")]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"<html>", "its answer is no JSON"),
        (b"[" * 100_000, "its answer is no JSON"),
        (b"\xff\xfe\x00", "its answer is no JSON"),
        ([], "its answer is not that of a Prometheus"),
        ({"data": {"resultType": "vector", "result": [{"value": []}]}}, "is not that of"),
        ({"data": {"resultType": "vector", "result": 5}}, "is not that of"),
        (vector("many"), "is not that of"),
        ({"data": {"resultType": "matrix", "result": []}}, "returns a matrix, not a number"),
        (vector("1", "2"), "the query has 2 results; write one that has one, such as sum(...)"),
    ],
)
def test_anything_else_is_an_error(body: object, why: str) -> None:
    assert why in refused(body)


def test_a_refused_query_says_why() -> None:
    body = {"status": "error", "errorType": "bad_data", "error": "parse error at char 3"}
    assert refused(body, 400) == "it answers with HTTP status 400: parse error at char 3"
    assert refused(b"no", 503) == "it answers with HTTP status 503"
    assert len(refused({"error": "x" * 100_000}, 400)) < 1000


def test_a_redirect_is_not_followed() -> None:
    why = refused(b"", 302, Location="http://elsewhere.example.com/api")
    assert why == "it redirects to elsewhere.example.com"
    assert len(refused(b"", 302, Location=f"http://{'x' * 5000}/")) < 1000


@pytest.mark.parametrize("status", [301, 302, 303, 304, 307, 308])
def test_a_redirect_to_no_url_is_one(status: int) -> None:
    assert refused(b"", status, Location="http://[::1") == "it redirects to a path"


def test_an_answer_that_is_too_long_is_not_read_to_its_end() -> None:
    assert "longer than" in refused(b" " * (prometheus.LIMIT + 1))


def test_a_server_that_is_down_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(MetricsError, match="cannot be reached"):
        ask(f"http://127.0.0.1:{port}", "up", None, TIMEOUT)


def test_a_server_without_the_expected_tls_is_an_error() -> None:
    with serving(handler(lambda to: answer(to, 200, b""))) as url, pytest.raises(MetricsError):
        ask(url.replace("http:", "https:"), "up", None, TIMEOUT)


def test_a_server_that_does_not_answer_is_an_error() -> None:
    over = threading.Event()

    def hang(_: BaseHTTPRequestHandler) -> None:
        over.wait(20)

    with serving(handler(hang)) as url:
        with pytest.raises(MetricsError, match="did not answer in time"):
            ask(url, "up", None, 0.2)
        over.set()


def test_a_server_that_answers_byte_by_byte_is_an_error() -> None:
    over = threading.Event()

    def drip(to: BaseHTTPRequestHandler) -> None:
        to.send_response(200)
        to.send_header("Content-Length", "100000")
        to.end_headers()
        while not over.wait(0.02):
            try:
                to.wfile.write(b" ")
            except OSError:
                return

    with serving(handler(drip)) as url:
        with pytest.raises(MetricsError, match="did not answer in time"):
            ask(url, "up", None, 0.3)
        over.set()


def test_an_answer_that_breaks_off_is_an_error() -> None:
    def tear(to: BaseHTTPRequestHandler) -> None:
        to.wfile.write(b"nonsense\r\n\r\n")

    with serving(handler(tear)) as url, pytest.raises(MetricsError, match="is no HTTP"):
        ask(url, "up", None, TIMEOUT)


def test_a_token_that_no_header_can_hold_is_not_shown() -> None:
    with pytest.raises(MetricsError) as caught:
        ask("http://127.0.0.1:9", "up", Secret("hunter2\nX-Evil: 1"), TIMEOUT)
    assert str(caught.value) == "its token is not one line of ASCII text"

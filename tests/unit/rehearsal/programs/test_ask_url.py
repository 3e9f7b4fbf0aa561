"""The program that requests one URL: once, read from stdin, or until it is stopped."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import http_server
from patience import until
from shipit.rehearsal.programs import ask_url

PATIENCE_SECONDS = 60.0

if TYPE_CHECKING:
    from collections.abc import Iterator


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status = int(self.path.strip("/"))
        self.send_response(status)
        self.send_header("Location", "/200")
        self.end_headers()
        self.wfile.write(b'{"version": "1.0.0"}')

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def seen(url: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-I", "-", url, "60", '{"Host": "www.example.com"}'],
        input=Path(ask_url.__file__).read_text(),
        env={"http_proxy": "http://127.0.0.1:9"},  # a machine's own, and not meant for it
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("status", [200, 302, 404, 500])
def test_any_status_is_an_answer(url: str, status: int) -> None:
    assert seen(f"{url}/{status}") == {"status": status, "body": '{"version": "1.0.0"}'}


def test_a_missing_answer_is_an_error_text() -> None:
    assert "refused" in seen("http://127.0.0.1:1/")["error"]
    assert "error" in seen("nonsense")


class Service(BaseHTTPRequestHandler):
    """Answers one status for a while, then another."""

    asked = 0
    good_for = 3
    promised = 0  # bytes of the body, of which none is sent

    def do_GET(self) -> None:
        type(self).asked += 1
        self.send_response(200 if self.asked <= self.good_for else 500)
        self.send_header("Content-Length", str(self.promised))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def service(good_for: int, promised: int = 0) -> Iterator[tuple[str, type[Service]]]:
    kind = type("Kind", (Service,), {"good_for": good_for, "promised": promised})
    with http_server.serving(kind) as origin:
        yield f"{origin}/", kind


def asked_until(kind: type[Service], url: str, result: Path, enough: int) -> dict[str, float]:
    argv = [sys.executable, "-I", ask_url.__file__, url, "200", "{}", str(result)]
    with subprocess.Popen(argv) as process:
        try:
            until(lambda: kind.asked >= enough, lambda: f"asked {kind.asked}", PATIENCE_SECONDS)
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0
    found: dict[str, float] = json.loads(result.read_text())
    return found


def test_every_answer_of_another_status_is_dropped(tmp_path: Path) -> None:
    with service(good_for=3) as (url, kind):
        found = asked_until(kind, url, tmp_path / "result", enough=6)
    assert found["asked"] == kind.asked
    assert found["dropped"] == kind.asked - 3
    assert found["slowest"] > 0


def test_a_good_service_drops_none(tmp_path: Path) -> None:
    with service(good_for=1000) as (url, kind):
        found = asked_until(kind, url, tmp_path / "result", enough=4)
    assert (found["dropped"], found["asked"]) == (0, kind.asked)


def test_no_answer_at_all_has_no_status() -> None:
    with service(good_for=1) as (url, _):
        assert ask_url.answer(url, 60.0, {})["status"] == 200
    assert "status" not in ask_url.answer(url, 60.0, {})


def test_an_answer_that_breaks_off_is_none() -> None:
    with service(good_for=1000, promised=2) as (url, _):
        assert "error" in ask_url.answer(url, 60.0, {})

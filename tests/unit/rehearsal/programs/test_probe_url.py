"""The program that requests one URL, read from stdin by a machine's Python."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from shipit.rehearsal.programs import probe_url

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
        input=Path(probe_url.__file__).read_text(),
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

"""The program that sends requests to a service until it is stopped."""

from __future__ import annotations

import http.server
import json
import signal
import subprocess
import sys
import threading
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

from patience import until
from shipit.rehearsal.programs import load_url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE_SECONDS = 60.0


class Service(http.server.BaseHTTPRequestHandler):
    """Answers one status for a while, then another."""

    asked = 0
    good_for = 3

    def do_GET(self) -> None:
        type(self).asked += 1
        self.send_response(200 if self.asked <= self.good_for else 500)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def service(good_for: int) -> Iterator[tuple[str, type[Service]]]:
    kind = type("Kind", (Service,), {"good_for": good_for})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", kind
        server.shutdown()


def asked_until(kind: type[Service], url: str, result: Path, enough: int) -> dict[str, float]:
    argv = [sys.executable, "-I", load_url.__file__, url, "200", str(result), "{}"]
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
        asked = urllib.request.Request(url)  # noqa: S310 - of our own server
        assert load_url.status_of(asked) == 200
    assert load_url.status_of(asked) == 0

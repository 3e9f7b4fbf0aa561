"""The process that fetches: it is nobody, and it gives up in time."""

from __future__ import annotations

import io
import subprocess
import sys
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

import pytest

import http_server
from file_server import serving
from marks import needs_root
from shipit.agent.host import download
from shipit.agent.host.download import Download, Failed, end_of_first

if TYPE_CHECKING:
    from collections.abc import Mapping

NEAR = download.NEAR
LOST = """\
import os
from shipit.agent.host import download
download.give_up_root()
try:
    os.setuid(0)
except PermissionError:
    print(os.getresuid(), os.getresgid(), os.getgroups())
try:
    os.fork()
except BlockingIOError:
    print("alone")
print("read by", os.stat("/proc/self/mem").st_uid)
print(open("/proc/self/status").read())
"""


@needs_root
def test_it_is_nobody_and_can_become_nothing_else() -> None:
    argv = [sys.executable, "-c", LOST]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    ids, status = done.stdout.split("\n", 1)
    assert ids == f"{(65534,) * 3} {(65534,) * 3} []"
    assert status.startswith("alone\nread by 0\n"), "by root alone, not by others who are nobody"
    assert "NoNewPrivs:\t1" in status
    assert "CapEff:\t0000000000000000" in status
    assert "CapPrm:\t0000000000000000" in status


@pytest.mark.parametrize(
    ("pieces", "end"),
    [
        ([(5, 10)], 15),
        ([(5, 10), (15 + NEAR, 1)], 16 + NEAR),
        ([(5, 10), (16 + NEAR, 1)], 15),
        ([(0, 1), (1, 0), (2, 3)], 5),
    ],
)
def test_one_request_is_for_what_lies_near(pieces: download.Pieces, end: int) -> None:
    assert end_of_first(pieces) == end


def test_a_silent_server_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TIMEOUT", 0.2)
    with serving({"/x": b"12345"}) as server:
        server.cuts, server.cut_at, server.hangs = -1, 2, True
        out = io.BytesIO()
        with pytest.raises(Failed, match="gave no answer within"):
            Download(download.opener_of(), server.url("/x"), [(0, 5)], out).run()
        assert (len(server.requests), out.getvalue()) == (1, b"12")


def test_each_attempt_asks_a_proxy_for_a_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Proxy(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            asked.append(self.path)
            http_server.answer(self, 502, b"")

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setattr(download, "PAUSES", (0.0, 0.0, 0.0))
    with http_server.serving(Proxy) as origin:
        monkeypatch.setenv("https_proxy", origin)
        monkeypatch.setenv("no_proxy", "")
        url = "https://me:hunter2@store.example/x?signature=1"
        with pytest.raises(Failed, match="the connection failed"):
            Download(download.opener_of(), url, [(0, 5)], io.BytesIO()).run()
    assert asked == ["store.example:443"] * 4


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Range": "bytes 0-9/100"},
        {"Content-Range": "bytes */100"},
        {"Content-Range": "x 5-9/100"},
    ],
)
def test_another_part_than_was_asked_for_is_refused(headers: Mapping[str, str]) -> None:
    with pytest.raises(Failed, match="another part"):
        download.start_of(206, headers, 5)
    assert download.start_of(206, {"Content-Range": "bytes 5-9/*"}, 5) == 5
    assert download.start_of(200, headers, 5) == 0


def test_a_redirect_never_gives_up_tls() -> None:
    request = download.request_of("https://store.example.com/x")
    with pytest.raises(Failed, match="not https"):
        download.Redirects().redirect_request(request, None, 302, "", {}, "http://store/x")

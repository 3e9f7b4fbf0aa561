"""An HTTP server in a thread that serves files, by ranges too, and fails where a test wants it.

with serving({"/x": b"..."}) as server:
    server.url("/x"); server.requests
"""

from __future__ import annotations

import http.server
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import http_server

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass
class FileServer:
    """What is served, and what was asked for.

    Attributes:
        files: by their path.
        answers: statuses that the next requests get instead of a file.
        redirects: path -> where to.
        refusals: path -> the status that it is always answered with.
        has_ranges: whether it knows of ranges; else it answers with the whole file.
        cuts: how many of the next answers break off; all of them for -1.
        cut_at: bytes after which they do.
        hangs: whether it stops there, instead of closing the connection.
        requests: path and headers of each request.
    """

    files: dict[str, bytes]
    answers: list[int] = field(default_factory=list)
    redirects: dict[str, str] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)
    has_ranges: bool = True
    cuts: int = 0
    cut_at: int = 0
    hangs: bool = False
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    origin: str = ""
    over: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str) -> str:
        return self.origin + path

    def ranges(self) -> list[str]:
        return [headers.get("range", "") for _, headers in self.requests]


@contextmanager
def serving(
    files: dict[str, bytes], address: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> Iterator[FileServer]:
    made = FileServer(files)

    class Handler(_Handler):
        served = made

    with http_server.serving(Handler, address, tls) as made.origin:
        try:
            yield made
        finally:
            made.over.set()


class _Handler(http.server.BaseHTTPRequestHandler):
    served: FileServer

    def do_GET(self) -> None:
        served, path = self.served, self.path.partition("?")[0]
        headers = {name.lower(): value for name, value in self.headers.items()}
        served.requests.append((self.path, headers))
        if path in served.redirects:
            self._head(302, {"Location": served.redirects[path], "Content-Length": "0"})
        elif path in served.refusals:
            self._head(served.refusals[path], {"Content-Length": "0"})
        elif served.answers:
            self._head(served.answers.pop(0), {"Content-Length": "0"})
        elif path not in served.files:
            self._head(404, {"Content-Length": "0"})
        else:
            self._send(served.files[path], headers.get("range", ""))

    def _send(self, content: bytes, wanted: str) -> None:
        found = _RANGE.fullmatch(wanted) if self.served.has_ranges else None
        if found:
            first, last = int(found[1]), min(int(found[2] or len(content)), len(content) - 1)
            part = content[first : last + 1]
            extra = {"Content-Range": f"bytes {first}-{last}/{len(content)}"}
            self._head(206, {"Content-Length": str(len(part)), **extra})
        else:
            part = content
            self._head(200, {"Content-Length": str(len(part))})
        is_cut = self.served.cuts != 0
        self.served.cuts -= self.served.cuts > 0
        self.wfile.write(part[: self.served.cut_at] if is_cut else part)
        if is_cut and self.served.hangs:
            self.wfile.flush()
            self.served.over.wait()
        self.close_connection = True

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...  # noqa: ANN401 - the base's

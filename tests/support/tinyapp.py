"""A web service, a worker and a timer job that need only the standard library.

For fast host tests: `wheelhouse.tinyapp_wheel` packs this file into a wheel; no test imports it.
It listens on systemd's socket (LISTEN_FDS) or on $HOST:$PORT, drains on SIGTERM, says READY=1, and
can be broken:

    start    exits at once with status 3          late   dies after some seconds
    healthz  answers /healthz with 500            deaf   ignores SIGTERM
    slow     listens only after some seconds
    leak     needs so many MiB after a moment
    noisy    logs an error again and again

The fault is packed into the wheel (a bad release) or is a setting: TINYAPP_FAULT=late:2.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import socketserver
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import parse_qs, urlsplit

VERSION = version("tinyapp")
FIRST_SOCKET = 3  # sd_listen_fds(3): SD_LISTEN_FDS_START


def fault() -> tuple[str, float]:
    """Return the fault of this release or its settings, and its delay in seconds."""
    packed = Path(__file__).with_suffix(".json")
    text = os.environ.get("TINYAPP_FAULT", "")
    if not text and packed.exists():
        text = json.loads(packed.read_text())["fault"]
    kind, _, seconds = text.partition(":")
    return kind, float(seconds or 0)


class Answer(BaseHTTPRequestHandler):
    def address_string(self) -> str:
        return str((*self.client_address, "-")[0])  # it is "" on a unix socket

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        pages = {"/": self.healthz, "/healthz": self.healthz, "/env": self.env}
        pages |= {"/slow": self.slow, "/file": self.file}
        status, body = pages.get(url.path, self.missing)(query)
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def healthz(self, _query: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        ok = fault()[0] != "healthz"
        word = "ok" if ok else "broken"
        body = {"status": word, "version": VERSION, "pid": os.getpid()}
        return 200 if ok else 500, body

    def env(self, query: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        return 200, {key: os.environ.get(key) for key in query.get("key", [])}

    def slow(self, query: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        time.sleep(float(query.get("seconds", ["1"])[0]))
        return 200, {"version": VERSION}

    def file(self, query: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        path = Path(query.get("path", [""])[0])  # relative to the working directory
        if not path.is_file():
            return 404, {"error": f"no file {path}"}
        return 200, {"text": path.read_text()}

    def missing(self, _query: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        return 404, {"error": "no such page"}


class Server(socketserver.ThreadingTCPServer):
    """HTTP on a socket that is already listening; closing it waits for the answers under way."""

    daemon_threads = False

    def __init__(self, listener: socket.socket) -> None:
        super().__init__(("", 0), Answer, bind_and_activate=False)
        self.socket.close()
        # Another instance may accept from the same socket: the slower one must not block on it.
        listener.setblocking(False)
        self.socket = listener


def listener() -> socket.socket:
    if os.environ.get("LISTEN_FDS"):
        return socket.socket(fileno=FIRST_SOCKET)
    address = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8000"))
    return socket.create_server(address, backlog=128)


def tell_systemd(text: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.sendto(text.encode(), address.replace("@", "\0", 1))


def die_after(seconds: float) -> None:
    def die() -> NoReturn:
        sys.stderr.write("tinyapp: dying as told\n")
        os._exit(3)

    clock = threading.Timer(seconds, die)
    clock.daemon = True
    clock.start()


def do_badly(kind: str, amount: float) -> None:
    """Misbehave in another way than by wrong answers."""
    time.sleep(1.0)
    kept = bytearray(os.urandom(1024)) * int(amount * 1024) if kind == "leak" else b""
    while kept or kind == "noisy":
        sys.stderr.write("ERROR: as told\n" if kind == "noisy" else "")
        time.sleep(0.1)


def main() -> None:
    if "--version" in sys.argv:
        sys.stdout.write(f"tinyapp {VERSION}\n")
        return
    kind, seconds = fault()
    if kind == "start":
        sys.exit("tinyapp: broken at start, as told")
    if kind == "late":
        die_after(seconds)
    if kind in ("leak", "noisy"):
        threading.Thread(target=do_badly, args=[kind, seconds], daemon=True).start()
    if kind == "slow":
        time.sleep(seconds)
    serve(deaf=kind == "deaf")


def serve(*, deaf: bool) -> None:
    server = Server(listener())

    def drain(_signal: int, _frame: object) -> None:
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, signal.SIG_IGN if deaf else drain)
    tell_systemd("READY=1")
    server.serve_forever(poll_interval=0.02)
    server.server_close()


def state() -> Path:
    return Path(os.environ.get("STATE_DIRECTORY", ".").split(":")[0])


def worker() -> None:
    """Write a heartbeat into the state directory until stopped."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    tell_systemd("READY=1")
    while not signal.sigtimedwait([signal.SIGTERM], 0.2):
        (state() / "heartbeat").write_text(f"{VERSION} {time.time():.1f}\n")


def report() -> None:
    """Write one line, as a timer's job does."""
    with (state() / "report").open("a") as out:
        out.write(f"{VERSION}\n")

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

It is started thousands of times in a run of the tests, so it loads little: neither http.server nor
importlib.metadata, which take three quarters of a start.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

[_INSTALLED] = Path(__file__).parent.glob("tinyapp-*.dist-info")
VERSION = _INSTALLED.stem.partition("-")[2]
FIRST_SOCKET = 3  # sd_listen_fds(3): SD_LISTEN_FDS_START


def fault() -> tuple[str, float]:
    """Return the fault of this release or its settings, and its delay in seconds."""
    packed = Path(__file__).with_suffix(".json")
    text = os.environ.get("TINYAPP_FAULT", "")
    if not text and packed.exists():
        text = json.loads(packed.read_text())["fault"]
    kind, _, seconds = text.partition(":")
    return kind, float(seconds or 0)


def answer(connection: socket.socket, client: object) -> None:
    """Answer one request, and log it as http.server does."""
    with connection, suppress(OSError):
        head = b""
        while b"\r\n\r\n" not in head:
            if not (more := connection.recv(65536)):
                return
            head += more
        line = head.partition(b"\r\n")[0].decode()
        url = urlsplit(line.split()[1])
        status, body = PAGES.get(url.path, missing)(parse_qs(url.query))
        sys.stderr.write(f'{client} - "{line}" {status} -\n')
        text = json.dumps(body).encode()
        fields = f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n"
        connection.sendall(f"HTTP/1.0 {status} -\r\n{fields}\r\n".encode() + text)


def healthz(_query: dict[str, list[str]]) -> tuple[int, dict[str, object]]:
    ok = fault()[0] != "healthz"
    word = "ok" if ok else "broken"
    return 200 if ok else 500, {"status": word, "version": VERSION, "pid": os.getpid()}


def env(query: dict[str, list[str]]) -> tuple[int, dict[str, object]]:
    return 200, {key: os.environ.get(key) for key in query.get("key", [])}


def slow(query: dict[str, list[str]]) -> tuple[int, dict[str, object]]:
    time.sleep(float(query.get("seconds", ["1"])[0]))
    return 200, {"version": VERSION}


def file(query: dict[str, list[str]]) -> tuple[int, dict[str, object]]:
    path = Path(query.get("path", [""])[0])  # relative to the working directory
    if not path.is_file():
        return 404, {"error": f"no file {path}"}
    return 200, {"text": path.read_text()}


def missing(_query: dict[str, list[str]]) -> tuple[int, dict[str, object]]:
    return 404, {"error": "no such page"}


PAGES = {"/": healthz, "/healthz": healthz, "/env": env, "/slow": slow, "/file": file}


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
    def die() -> None:
        sys.stderr.write("tinyapp: dying as asked\n")
        os._exit(3)

    clock = threading.Timer(seconds, die)
    clock.daemon = True
    clock.start()


def do_badly(kind: str, amount: float) -> None:
    """Misbehave in another way than by wrong answers."""
    time.sleep(1.0)
    kept = bytearray(os.urandom(1024)) * int(amount * 1024) if kind == "leak" else b""
    while kept or kind == "noisy":
        sys.stderr.write("ERROR: as asked\n" if kind == "noisy" else "")
        time.sleep(0.1)


def main() -> None:
    if "--version" in sys.argv:
        sys.stdout.write(f"tinyapp {VERSION}\n")
        return
    kind, seconds = fault()
    if kind == "start":
        sys.exit("tinyapp: broken at start, as asked")
    if kind == "late":
        die_after(seconds)
    if kind in ("leak", "noisy"):
        threading.Thread(target=do_badly, args=[kind, seconds], daemon=True).start()
    if kind == "slow":
        time.sleep(seconds)
    serve(deaf=kind == "deaf")


def serve(*, deaf: bool) -> None:
    """Answer until SIGTERM; this process ends with the last answer under way."""
    shared, (waits, wakes) = listener(), socket.socketpair()
    # Another instance may accept from the same socket: the slower one must not block on it.
    shared.setblocking(False)
    signal.signal(signal.SIGTERM, signal.SIG_IGN if deaf else lambda *_: wakes.close())
    tell_systemd("READY=1")
    while waits not in select.select([shared, waits], [], [])[0]:
        with suppress(BlockingIOError):
            connection, client = shared.accept()
            threading.Thread(target=answer, args=[connection, (*client, "-")[0]]).start()
    shared.close()


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

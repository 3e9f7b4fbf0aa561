"""A tiny service for real servers, `uvicorn loadapp:asgi` and `gunicorn loadapp:wsgi`.

    /          who answers                   /healthz   the same, for the health check
    /slow?seconds=10                         /ws        a websocket that says the same (uvicorn)

It takes $LOADAPP_STARTUP seconds to start, as real ones do. A bad release has its fault packed into
the wheel: `start` exits at once, `slow` takes for ever to start, `healthz` answers that with 500.
No test imports it: `wheelhouse.loadapp_wheel` packs this file into a wheel.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    Scope = dict[str, Any]
    Receive = Callable[[], Awaitable[dict[str, Any]]]
    Send = Callable[[dict[str, Any]], Awaitable[None]]

FOR_EVER = 3600.0  # seconds
REASONS = {200: "200 OK", 404: "404 Not Found", 500: "500 Internal Server Error"}
VERSION = version("loadapp")


def fault() -> str:
    packed = Path(__file__).with_suffix(".json")
    return str(json.loads(packed.read_text())["fault"]) if packed.exists() else ""


def start() -> None:
    """Take as long as it is asked to; may be ended meanwhile, whatever the server has arranged."""
    if FAULT == "start":
        sys.exit("loadapp: broken at start, as asked")
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    time.sleep(FOR_EVER if FAULT == "slow" else float(os.environ.get("LOADAPP_STARTUP", "0")))
    signal.signal(signal.SIGTERM, before)


FAULT = fault()
start()


def status_of(path: str) -> int:
    if path not in ("/", "/healthz", "/slow"):
        return 404
    return 500 if (path, FAULT) == ("/healthz", "healthz") else 200


def seconds_of(path: str, query: str) -> float:
    return float(parse_qs(query).get("seconds", ["1"])[0]) if path == "/slow" else 0.0


def body() -> bytes:
    return json.dumps({"version": VERSION, "pid": os.getpid()}).encode()


async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
    await {"lifespan": lifespan, "http": page, "websocket": talk}[scope["type"]](
        scope, receive, send
    )


async def lifespan(_scope: Scope, receive: Receive, send: Send) -> None:
    for moment in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{moment}.complete"})


async def page(scope: Scope, _receive: Receive, send: Send) -> None:
    path, query = scope["path"], scope["query_string"].decode()
    await asyncio.sleep(seconds_of(path, query))
    text = body()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(text))]
    await send({"type": "http.response.start", "status": status_of(path), "headers": headers})
    await send({"type": "http.response.body", "body": text})


async def talk(_scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": body().decode()})
    while (await receive())["type"] != "websocket.disconnect":
        pass


def wsgi(
    environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]
) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    time.sleep(seconds_of(path, environ["QUERY_STRING"]))
    text = body()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(text)))]
    start_response(REASONS[status_of(path)], headers)
    return [text]

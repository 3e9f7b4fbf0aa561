"""A tiny service for docs/recipes.md: `myapp:app` is ASGI, `myapp:application` is WSGI.

    /    /healthz    /slow?seconds=10        each says which version answers

$MYAPP_FAULT breaks a release: `healthz` answers that with 500, `start` exits at once.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    Scope = dict[str, Any]
    Receive = Callable[[], Awaitable[dict[str, Any]]]
    Send = Callable[[dict[str, Any]], Awaitable[None]]

FAULT = os.environ.get("MYAPP_FAULT", "")
BODY = json.dumps({"version": version("myapp")}).encode()

if FAULT == "start":
    sys.exit("myapp: broken at start, as asked")


def status_of(path: str) -> int:
    return 500 if (path, FAULT) == ("/healthz", "healthz") else 200


def seconds_of(query: str) -> float:
    return float(parse_qs(query).get("seconds", ["0"])[0])


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await {"lifespan": lifespan, "http": page}[scope["type"]](scope, receive, send)


async def lifespan(_scope: Scope, receive: Receive, send: Send) -> None:
    for moment in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{moment}.complete"})


async def page(scope: Scope, _receive: Receive, send: Send) -> None:
    await asyncio.sleep(seconds_of(scope["query_string"].decode()))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]
    start = {"type": "http.response.start", "status": status_of(scope["path"])}
    await send({**start, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


def application(
    environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]
) -> Iterable[bytes]:
    time.sleep(seconds_of(environ["QUERY_STRING"]))
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(BODY)))]
    start_response(f"{status_of(environ['PATH_INFO'])} As asked", headers)
    return [BODY]

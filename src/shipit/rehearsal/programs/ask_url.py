"""Request one URL and write the result as JSON.

Runs on a machine with its Python alone, headers as JSON. It is a second opinion that is independent
of the agent; 127.0.0.1 is the machine's own, as in a health check.

    python3 -I - URL SECONDS HEADERS < ask_url.py

prints the answer: {"status", "body"} or {"error"}.

    python3 -I ask_url.py URL STATUS HEADERS RESULT

requests it until SIGTERM, and writes into RESULT {"asked", "dropped", "slowest"}: requests sent,
requests without an answer of the expected status, and the slowest answer in seconds.
"""

from __future__ import annotations

import json
import signal
import sys
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

BODY_LIMIT = 65536  # bytes
PAUSE_SECONDS = 0.2  # short enough to notice a restart, long enough to cause little load
PATIENCE_SECONDS = 30.0  # the order of a browser's or a proxy's timeout


class _AsItIs(urllib.request.HTTPRedirectHandler):
    """Don't follow redirects: they are answers like any other."""

    def redirect_request(self, *_: object) -> None:
        return None


def answer(
    url: str, seconds: float, headers: dict[str, str], limit: int | None = None
) -> dict[str, object]:
    """Return the status and the body up to a limit in bytes, or the error."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _AsItIs)
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - as a check has it
        try:
            found = opener.open(request, timeout=seconds)
        except urllib.error.HTTPError as error:
            found = error
        with found:
            return {"status": found.status, "body": found.read(limit).decode(errors="replace")}
    except (OSError, ValueError, HTTPException) as error:
        return {"error": str(error)}


def measure(
    url: str, wanted: int, headers: dict[str, str], is_over: Callable[[], bool]
) -> dict[str, float]:
    """Send requests until `is_over` and return the result."""
    asked = dropped = 0
    slowest = 0.0
    while not is_over():
        began = time.monotonic()
        asked += 1
        dropped += answer(url, PATIENCE_SECONDS, headers).get("status") != wanted
        slowest = max(slowest, time.monotonic() - began)
        time.sleep(PAUSE_SECONDS)
    return {"asked": asked, "dropped": dropped, "slowest": slowest}


def main(url: str, number: str, headers: str, result: str = "") -> None:
    if not result:
        sys.stdout.write(json.dumps(answer(url, float(number), json.loads(headers), BODY_LIMIT)))
        return
    signals: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: signals.append(number))
    found = measure(url, int(number), json.loads(headers), lambda: bool(signals))
    Path(result).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])

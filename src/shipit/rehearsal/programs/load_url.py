"""Request one URL repeatedly until SIGTERM, and write the result as JSON.

{"asked", "dropped", "slowest"}: requests sent, requests without an answer of the expected status,
and the slowest answer in seconds. Runs on a machine with its Python alone, headers as JSON:
python3 -I load_url.py URL STATUS RESULT HEADERS
"""

from __future__ import annotations

import json
import signal
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PAUSE_SECONDS = 0.2  # short enough to notice a restart, long enough to cause little load
PATIENCE_SECONDS = 30.0  # the order of a browser's or a proxy's timeout


class _AsItIs(urllib.request.HTTPRedirectHandler):
    """Don't follow redirects: they are answers like any other."""

    def redirect_request(self, *_: object) -> None:
        return None


def status_of(asked: urllib.request.Request) -> int:
    """Return the status of an answer; 0 if there is none."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _AsItIs)
    try:
        with opener.open(asked, timeout=PATIENCE_SECONDS) as answer:
            answer.read()
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def measure(
    request: urllib.request.Request, wanted: int, is_over: Callable[[], bool]
) -> dict[str, float]:
    """Send requests until `is_over` and return the result."""
    asked = dropped = 0
    slowest = 0.0
    while not is_over():
        began = time.monotonic()
        asked += 1
        dropped += status_of(request) != wanted
        slowest = max(slowest, time.monotonic() - began)
        time.sleep(PAUSE_SECONDS)
    return {"asked": asked, "dropped": dropped, "slowest": slowest}


def main(url: str, status: str, result: str, headers: str) -> None:
    signals: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: signals.append(number))
    request = urllib.request.Request(url, headers=json.loads(headers))  # noqa: S310 - a check's
    found = measure(request, int(status), lambda: bool(signals))
    Path(result).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Ask for one URL over and over until SIGTERM, and write down how it went as JSON.

{"asked", "dropped", "slowest"}: dropped are those that got no answer, or one of another status;
slowest is in seconds. Run on a machine by its Python alone, with headers as JSON:
python3 -I pulse.py URL STATUS RESULT HEADERS
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

PAUSE_SECONDS = 0.2  # often enough to meet a restart, and little load
PATIENCE_SECONDS = 30.0  # as a browser or a proxy has it


class _AsItIs(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like any other."""

    def redirect_request(self, *_: object) -> None:
        return None


def status_of(asked: urllib.request.Request) -> int:
    """Return the status of an answer, and 0 for none."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _AsItIs)
    try:
        with opener.open(asked, timeout=PATIENCE_SECONDS) as answer:
            answer.read()
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def listen(
    asks: urllib.request.Request, wanted: int, is_over: Callable[[], bool]
) -> dict[str, float]:
    """Ask until it is over; returns what came of it."""
    asked = dropped = 0
    slowest = 0.0
    while not is_over():
        began = time.monotonic()
        asked += 1
        dropped += status_of(asks) != wanted
        slowest = max(slowest, time.monotonic() - began)
        time.sleep(PAUSE_SECONDS)
    return {"asked": asked, "dropped": dropped, "slowest": slowest}


def main(url: str, status: str, result: str, headers: str) -> None:
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    asks = urllib.request.Request(url, headers=json.loads(headers))  # noqa: S310 - a check's
    found = listen(asks, int(status), lambda: bool(told))
    Path(result).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])

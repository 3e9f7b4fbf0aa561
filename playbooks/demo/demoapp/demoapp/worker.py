"""The worker: beats into the state directory until it is told to stop."""

import signal
import threading
from datetime import UTC, datetime

import orjson
import structlog

from demoapp import __version__
from demoapp.settings import Settings

BEAT_SECONDS = 1.0


def main() -> None:
    log = structlog.get_logger()
    heartbeat = Settings().state_directory / "heartbeat.json"
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    log.info("worker started", version=__version__)
    beats = 0
    while not stop.is_set():
        beats += 1
        now = datetime.now(UTC)
        heartbeat.write_bytes(orjson.dumps({"version": __version__, "beats": beats, "at": now}))
        stop.wait(BEAT_SECONDS)
    log.info("worker stopped", beats=beats)

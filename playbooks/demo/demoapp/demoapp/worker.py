"""The worker: writes a heartbeat into the state directory until it is stopped."""

import signal
from datetime import UTC, datetime

import orjson
import structlog

from demoapp import __version__
from demoapp.settings import Settings

BEAT_SECONDS = 1.0
STOP = {signal.SIGTERM, signal.SIGINT}


def main() -> None:
    log = structlog.get_logger()
    heartbeat = Settings().state_directory / "heartbeat.json"
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP)  # they stay pending for sigtimedwait
    log.info("worker started", version=__version__)
    beats = 0
    stop = None
    while not stop:
        beats += 1
        now = datetime.now(UTC)
        heartbeat.write_bytes(orjson.dumps({"version": __version__, "beats": beats, "at": now}))
        stop = signal.sigtimedwait(STOP, BEAT_SECONDS)
    log.info("worker stopped", beats=beats)

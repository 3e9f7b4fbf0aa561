"""Send blobs to a host, over several channels of the same connection where that is faster.

sshd takes at most 2 MiB per round trip on a channel, so with a high latency one channel is slow and
several are several times as fast (40 MiB at 100 ms: 17 MiB/s on one, 69 on eight). Files are
streamed, a part at a time. The host verifies the blobs when it stages them.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from shipit.agent.protocol.messages import End, Failure, Part
from shipit.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from shipit.bundle.wheel import Blob
    from shipit.transport.channel import Link, Wire

PART = 256 * 1024  # bytes; every channel to every host holds one or two of them in memory
MOST_CHANNELS = 6  # sshd's MaxSessions is 10
NO_CHANNEL = frozenset({"channel-refused", "session-timeout"})
PATIENCE = 300.0  # seconds for a host to write what was sent
WINDOW = 2 * 1024 * 1024  # bytes that sshd takes per round trip on a channel
_CAP = 160.0 * 1024 * 1024  # bytes a second that no number of channels exceeds
_START_TRIPS = 4  # round trips to open a channel and start its agent
_START_WORK = 0.03  # seconds to start an agent (measured: sudo and Python on 2 cores)
_GAIN = 0.85  # more channels must reduce the time to this fraction


def channels(rtt: float, total: int) -> int:
    """Return the number of extra channels for `total` bytes; 0 for the control channel alone."""
    best, quickest = 0, total / _rate(1, rtt)
    for count in range(2, MOST_CHANNELS + 1):
        seconds = _START_TRIPS * rtt + count * _START_WORK + total / _rate(count, rtt)
        if seconds < _GAIN * quickest:
            best, quickest = count, seconds
    return best


def _rate(count: int, rtt: float) -> float:
    return min(_CAP, count * WINDOW / rtt) if rtt > 0 else _CAP


def ship(link: Link, wire: Wire, blobs: Iterable[Blob], progress: Callable[[int], None]) -> int:
    """Send blobs; `progress` gets the bytes sent so far, from several threads in turn.

    Parts that no extra channel took are sent over `wire`, and may still be in transit on return: a
    Stage that is sent on `wire` afterwards arrives after them.

    Returns:
        The number of Part frames that went over `wire`.

    Raises:
        HostError: the link broke, the host could not write, or a file changed here (blob-gone).
    """
    queue = _Queue(blobs, progress)
    if count := channels(link.rtt, queue.total):
        with ThreadPoolExecutor(count, thread_name_prefix="bulk") as pool:
            lanes = [pool.submit(_lane, link, queue) for _ in range(count)]
        for lane in lanes:
            lane.result()
    return _drain(wire, queue, link.name)


def _lane(link: Link, queue: _Queue) -> None:
    try:
        wire = link.open("receive")
    except HostError as error:
        if error.code in NO_CHANNEL:  # a low MaxSessions or a slow login: others send the rest
            return
        queue.stop()
        raise
    try:
        try:
            _drain(wire, queue, link.name)
            wire.close_send()
        except HostError as error:
            if error.code == "link-lost":  # if the agent gave up, it has sent the reason
                _confirm(wire, link.name)
            raise
        _confirm(wire, link.name)
    except BaseException:
        queue.stop()
        raise
    finally:
        wire.close()


def _confirm(wire: Wire, name: str) -> None:
    frame = wire.receive(PATIENCE, "the host to have written what was sent")
    reply = frame.message if frame else None
    if isinstance(reply, Failure):
        raise HostError(
            reply.code, reply.what, host=name, step="send", hint=reply.hint, evidence=reply.evidence
        )
    if not isinstance(reply, End):
        raise HostError("link-lost", "a channel ended before all was sent", host=name, step="send")


def _drain(wire: Wire, queue: _Queue, name: str) -> int:
    count = 0
    while (piece := queue.next()) is not None:
        content = _content(*piece, name)
        wire.send(piece[1], content)
        queue.done(len(content))
        count += 1
    return count


def _content(path: Path, part: Part, name: str) -> bytes:
    size = min(PART, part.total - part.offset)
    with path.open("rb") as stream:
        stream.seek(part.offset)
        content = stream.read(size)
    if len(content) != size:
        what = f"{path} became shorter while it was sent"
        raise HostError("blob-gone", what, host=name, step="send", hint="build the bundle again")
    return content


class _Queue:
    """The parts that are still to be sent, shared by the channels; an empty blob is one."""

    def __init__(self, blobs: Iterable[Blob], progress: Callable[[int], None]) -> None:
        blobs = tuple(blobs)
        self.total = sum(blob.size for blob in blobs)
        self._pieces = (
            (blob.path, Part(blob.sha256, offset, blob.size))
            for blob in blobs
            for offset in range(0, max(1, blob.size), PART)
        )
        self._progress = progress
        self._done = 0
        self._stopped = False
        self._lock = threading.Lock()

    def next(self) -> tuple[Path, Part] | None:
        with self._lock:
            return None if self._stopped else next(self._pieces, None)

    def done(self, size: int) -> None:
        with self._lock:
            self._done += size
            self._progress(self._done)

    def stop(self) -> None:
        """Return no more pieces: a channel failed, and so did the upload."""
        with self._lock:
            self._stopped = True

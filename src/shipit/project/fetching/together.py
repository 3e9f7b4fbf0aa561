"""Share work that mostly waits between threads, and end all of them if one fails."""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MOST = 4  # parts
LEAST = 10  # of what one part has, if there are several
POLL_SECONDS = 0.2  # between looks for Ctrl-C
T = TypeVar("T")
U = TypeVar("U")


class Cancelled(Exception):
    """Another part has failed, or the run is interrupted."""


def split(work: Sequence[T]) -> list[list[T]]:
    """Return a few parts of about the same length; one if there is little work."""
    count = max(1, min(MOST, len(work) // LEAST))
    return [list(work[number::count]) for number in range(count)]


def together(act: Callable[[T, Callable[[], None]], U], parts: Sequence[T]) -> list[U]:
    """Return the result of each part, in order.

    Args:
        act: works on a part. It calls the function that it gets a few times a second, which raises
            Cancelled where it has to end.
        parts: one for each thread.

    Raises:
        Exception: that of the part that fails first.
    """
    over = threading.Event()

    def check() -> None:
        if over.is_set():
            raise Cancelled

    with ThreadPoolExecutor(max(1, len(parts)), thread_name_prefix="fetch") as pool:
        futures = [pool.submit(act, part, check) for part in parts]
        try:
            pending = set(futures)
            while pending:
                finished, pending = wait(pending, POLL_SECONDS, FIRST_EXCEPTION)
                for future in finished:
                    future.result()
        finally:
            over.set()
    return [future.result() for future in futures]

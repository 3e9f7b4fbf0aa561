"""Share work that mostly waits between threads, and end all of them if one fails."""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

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


@contextmanager
def aside(act: Callable[[Callable[[], None]], U]) -> Iterator[Callable[[], U]]:
    """Work in a thread while the block runs; give a function that waits for the result.

    Args:
        act: works. It calls the function that it gets a few times a second, which raises Cancelled
            when the block is over: it has failed, or was interrupted.
    """
    over = threading.Event()
    with ThreadPoolExecutor(1, thread_name_prefix="aside") as pool:
        future = pool.submit(act, partial(_check, over))
        try:
            yield future.result
        finally:
            over.set()


def together(
    act: Callable[[T, Callable[[], None]], U],
    parts: Sequence[T],
    check: Callable[[], None] = lambda: None,
) -> list[U]:
    """Return the result of each part, in order.

    Args:
        act: works on a part. It calls the function that it gets a few times a second, which raises
            Cancelled where it has to end.
        parts: one for each thread.
        check: raises Cancelled where all of them have to end.

    Raises:
        Exception: that of the part that fails first.
    """
    over = threading.Event()
    with ThreadPoolExecutor(max(1, len(parts)), thread_name_prefix="fetch") as pool:
        futures = [pool.submit(act, part, partial(_check, over)) for part in parts]
        try:
            pending = set(futures)
            while pending:
                check()
                finished, pending = wait(pending, POLL_SECONDS, FIRST_EXCEPTION)
                for future in finished:
                    future.result()
        finally:
            over.set()
    return [future.result() for future in futures]


def _check(over: threading.Event) -> None:
    if over.is_set():
        raise Cancelled

"""Report how a folder grows while a program downloads into it: bytes that are there, no guesses."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from shipit.events import Fetching

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from shipit.events import Emit


@contextmanager
def reported(folder: Path, what: str, emit: Emit) -> Iterator[Callable[[], None]]:
    """Make the folder; give a function that reports what it holds. At the end, it is over."""
    folder.mkdir()
    try:
        yield lambda: emit(Fetching(what, size_of(folder)))
    finally:
        emit(Fetching(what, is_over=True))


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder, in which a program works."""
    total = 0
    for above, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # it was moved meanwhile
                total += os.lstat(os.path.join(above, name)).st_size  # noqa: PTH118 - os.walk's
    return total

"""Wait for what comes about by itself: look again and again, up to a deadline."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
PAUSE = 0.02  # seconds between looks


def until(is_true: Callable[[], T], told: Callable[[], object], seconds: float) -> T:
    """Return the first true answer; where none comes in time, fail with what is `told` then."""
    deadline = time.monotonic() + seconds
    while not (answer := is_true()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {told()}"
        time.sleep(PAUSE)
    return answer

"""Poll a condition until a deadline."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
PAUSE = 0.02  # seconds between polls


def until(is_true: Callable[[], T], report: Callable[[], object], seconds: float) -> T:
    """Return the first true answer; fail after `seconds` with the text of `report`."""
    deadline = time.monotonic() + seconds
    while not (answer := is_true()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {report()}"
        time.sleep(PAUSE)
    return answer

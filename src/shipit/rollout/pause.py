"""Wait before a batch while an operator has paused the run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from shipit.events import Noted

if TYPE_CHECKING:
    from collections.abc import Callable

    from shipit.events import Emit

INTERVAL = 2.0  # seconds between questions
SLICE = 0.2  # seconds within which a Ctrl-C is noticed
TOO_LONG = "it was paused for a day"


def wait(
    ask: Callable[[], str], is_stopped: Callable[[], bool], emit: Emit, longest: float
) -> bool:
    """Wait until nobody pauses the run; False if that takes too long.

    Args:
        ask: returns who has paused it, "" if nobody.
        is_stopped: whether the run was interrupted meanwhile.
        emit: receives that it waits, and why.
        longest: in seconds.
    """
    began, shown = time.monotonic(), ""
    while (why := ask()) and not is_stopped():
        if why != shown:
            emit(Noted(f"paused before the next batch {why}; shipit resume PLAYBOOK continues"))
            shown = why
        if time.monotonic() - began >= longest:
            return False
        sleep(INTERVAL, is_stopped)
    if shown and not is_stopped():
        emit(Noted("resumed"))
    return True


def sleep(seconds: float, is_stopped: Callable[[], bool]) -> None:
    """Sleep, but not much longer than until it is stopped."""
    end = time.monotonic() + seconds
    while not is_stopped() and (left := end - time.monotonic()) > 0:
        time.sleep(min(SLICE, left))

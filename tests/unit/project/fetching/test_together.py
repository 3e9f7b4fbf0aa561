"""Work that is shared between threads."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from shipit.project.fetching.together import LEAST, MOST, Cancelled, split, together

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 30.0  # seconds


@pytest.mark.parametrize(
    ("length", "parts"), [(0, 1), (2 * LEAST - 1, 1), (2 * LEAST, 2), (100 * LEAST, MOST)]
)
def test_only_much_work_is_split_and_nothing_is_lost(length: int, parts: int) -> None:
    found = split(range(length))
    assert len(found) == parts
    assert sorted(number for part in found for number in part) == list(range(length))
    assert max(map(len, found)) - min(map(len, found)) <= 1


def test_results_come_in_order_from_parts_that_run_side_by_side() -> None:
    barrier = threading.Barrier(3)

    def act(part: int, check: Callable[[], None]) -> int:
        barrier.wait(PATIENCE)
        check()
        return part * 10

    assert together(act, [1, 2, 3]) == [10, 20, 30]
    assert together(act, []) == []


def test_one_that_fails_ends_the_others() -> None:
    ended: list[int] = []

    def act(part: int, check: Callable[[], None]) -> None:
        if part == 2:
            raise KeyError(part)
        pause = threading.Event()
        try:
            while True:
                check()
                pause.wait(0.01)
        except Cancelled:
            ended.append(part)
            raise

    with pytest.raises(KeyError):
        together(act, [1, 2, 3])
    assert sorted(ended) == [1, 3]

"""Work that is shared between threads."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from shipit.project.fetching.together import LEAST, MOST, Cancelled, aside, split, together

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


def test_all_of_them_end_when_they_are_not_wanted_any_more() -> None:
    def act(_: int, check: Callable[[], None]) -> None:
        pause = threading.Event()
        while True:
            check()
            pause.wait(0.01)

    def refuse() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        together(act, [1, 2], refuse)


def test_work_goes_on_aside_and_its_result_is_waited_for() -> None:
    barrier = threading.Barrier(2)

    def act(_: Callable[[], None]) -> str:
        barrier.wait(PATIENCE)
        return "made"

    with aside(act) as result:
        barrier.wait(PATIENCE)
        assert result() == "made"


def test_work_aside_ends_with_the_block_that_fails_and_its_own_error_is_not_lost() -> None:
    ended = threading.Event()

    def act(check: Callable[[], None]) -> None:
        pause = threading.Event()
        try:
            while True:
                check()
                pause.wait(0.01)
        except Cancelled:
            ended.set()
            raise

    with pytest.raises(KeyError), aside(act):
        raise KeyError
    assert ended.is_set()

    def fail(_: Callable[[], None]) -> None:
        raise ValueError

    with aside(fail) as result, pytest.raises(ValueError, match=r"^$"):
        result()

"""Waiting for a condition, as the other tests do it."""

from __future__ import annotations

import pytest

from patience import until


def test_the_first_true_answer_is_what_was_waited_for() -> None:
    answers = iter(["", "", "here", "never asked for"])
    assert until(lambda: next(answers), lambda: "it never came", 60.0) == "here"
    assert next(answers) == "never asked for"


def test_what_does_not_come_in_time_is_reported() -> None:
    with pytest.raises(AssertionError, match="not within 0 s: the door is closed"):
        until(lambda: False, lambda: "the door is closed", 0.0)


def test_what_is_true_at_once_needs_no_time() -> None:
    assert until(lambda: 1, lambda: "it never came", 0.0) == 1

"""An answer on the terminal is read without waiting for it."""

from __future__ import annotations

import os
import pty
from typing import TYPE_CHECKING, TextIO

import pytest

from patience import until
from shipit.rollout.controller.terminal import Question

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, TextIO]]:
    """Give the two ends of a terminal: what is typed, and what reads it."""
    typed, read = pty.openpty()
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp())  # it is not our own
    with os.fdopen(read) as stream:
        yield typed, stream
    os.close(typed)


@pytest.mark.parametrize(("line", "answer"), [("y\n", "y"), (" Yes \n", "yes"), ("\n", "")])
def test_a_line_is_an_answer(keyboard: tuple[int, TextIO], line: str, answer: str) -> None:
    typed, read = keyboard
    question = Question(read)
    assert question.answer() is None
    os.write(typed, line.encode())
    found: list[str | None] = []

    def has_answer() -> bool:
        found.append(question.answer())
        return found[-1] is not None

    until(has_answer, lambda: found, 20)
    assert found[-1] == answer


def test_the_end_of_the_input_is_no_answer(keyboard: tuple[int, TextIO]) -> None:
    typed, read = keyboard
    question = Question(read)
    os.write(typed, b"\x04")  # Ctrl-D
    assert [question.answer() for _ in range(3)] == [None, None, None]


def test_what_was_typed_before_the_question_is_no_answer(keyboard: tuple[int, TextIO]) -> None:
    typed, read = keyboard
    os.write(typed, b"y\n")
    question = Question(read)
    assert question.answer() is None


def test_in_the_background_nothing_is_read(
    keyboard: tuple[int, TextIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed, read = keyboard
    question = Question(read)
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp() + 1)
    os.write(typed, b"y\n")
    assert question.answer() is None

"""What is asked on a terminal, with each guess as the default answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shipit.init.decisions import Answers
from shipit.init.detect import detect
from shipit.init.project_files import ProjectFiles
from shipit.init.questions import Question, answers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FLASK = "from flask import Flask\napp = Flask('x')\n"
ONE = detect(ProjectFiles("shop", {"main.py": FLASK}))
TWO = detect(ProjectFiles("shop", {"main.py": FLASK, "admin.py": FLASK}))
NONE = detect(ProjectFiles("shop", {"main.py": ""}))


def answering(
    words: Sequence[str], asked: list[Question] | None = None
) -> Callable[[Question], str]:
    """Return a user who gives these answers in turn; an empty one takes the default."""
    waiting = list(words)

    def ask(question: Question) -> str:
        if asked is not None:
            asked.append(question)
        answer = waiting.pop(0) or question.default
        assert question.check(answer) == ""
        return answer

    return ask


def test_the_app_is_asked_for_where_there_are_several_and_the_port_and_the_hosts() -> None:
    asked: list[Question] = []
    given = answers(TWO, answering(["2", "80", "web1, web2 ::1"], asked), has_inventory=False)
    assert given == Answers("gunicorn admin:app", 80, ("web1", "web2", "::1"))
    assert asked[0].text == (
        "Several apps were found:\n"
        "  1  gunicorn main:app (main.py:2)\n"
        "  2  gunicorn admin:app (admin.py:2)\n"
        "Which one is the web service?"
    )


def test_every_default_leaves_the_guess() -> None:
    given = answers(TWO, answering(["", "", ""]), has_inventory=False)
    assert given == Answers("gunicorn main:app", 8000, ())


def test_nothing_is_asked_that_is_known_or_has_no_use() -> None:
    assert answers(ONE, answering([""]), has_inventory=True) == Answers("", 8000, ())
    assert answers(NONE, answering([]), has_inventory=True) == Answers()


@pytest.mark.parametrize(
    ("number", "bad"),
    [
        (0, ["0", "3", "x", "²"]),
        (1, ["0", "65536", "-1", "1.5", "٣", "x", "9" * 5000]),
        (2, ["a b;c", "-x", "web1 $(x)", "web[1:2", "a@b"]),
    ],
)
def test_a_wrong_answer_is_explained(number: int, bad: list[str]) -> None:
    asked: list[Question] = []
    answers(TWO, answering(["", "", ""], asked), has_inventory=False)
    for answer in bad:
        assert asked[number].check(answer)

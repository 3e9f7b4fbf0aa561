"""Ask the user on the terminal, on standard error: passwords, and what `init` cannot know."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from shipit.init.questions import Question


def password(prompt: str) -> str:
    """Return a password, which is not shown.

    Raises:
        KeyboardInterrupt: Ctrl-C, or no terminal.
    """
    try:
        return str(click.prompt(prompt, hide_input=True, err=True, default=""))
    except click.Abort as error:
        raise KeyboardInterrupt from error


def ask(question: Question) -> str:
    """Return the answer to a question; a wrong one is explained, and asked for again.

    Raises:
        KeyboardInterrupt: Ctrl-C, or the end of the input.
    """

    def checked(answer: str) -> str:
        if wrong := question.check(answer):
            raise click.UsageError(wrong)  # click asks again
        return answer

    text, default = question.text, question.default
    try:
        given = click.prompt(
            text, default, err=True, show_default=bool(default), value_proc=checked
        )
    except click.Abort as error:
        raise KeyboardInterrupt from error
    return str(given)

"""Convert and complete single values of the command line."""

# ruff: noqa: PLC0415 - late imports keep help and completion fast

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import CompletionItem


class Duration(click.ParamType[float]):
    """A duration such as 90s or 5m, converted to seconds."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        from shipit.playbook import parsers

        if isinstance(value, float):
            return value
        try:
            return parsers.duration(value)
        except parsers.InvalidValueError as error:
            self.fail(str(error), param, ctx)


def names_for_limit(
    ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete hosts and groups."""
    from shipit.cli import options

    # While an option is being completed, click leaves the arguments before it unread.
    playbook = ctx.params.get("playbook") or next(iter(ctx.args), "")
    before, comma, last = incomplete.rpartition(",")
    names = options.limits(Path(playbook), ctx.params["inventory"], os.environ)
    return [CompletionItem(before + comma + name) for name in names if name.startswith(last)]

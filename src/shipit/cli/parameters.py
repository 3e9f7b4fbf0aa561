"""Read and complete single values of the command line, for cli."""

# ruff: noqa: PLC0415 - importing late keeps help and completion quick

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import CompletionItem


class Duration(click.ParamType[float]):
    """A length of time, such as 90s or 5m; in seconds once converted."""

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
    """Offer hosts and groups."""
    from shipit.cli import options

    # Where the line breaks off inside an option, click leaves the arguments before it unread.
    playbook = ctx.params.get("playbook") or next(iter(ctx.args), "")
    before, comma, last = incomplete.rpartition(",")
    names = options.limits(Path(playbook), ctx.params["inventory"], os.environ)
    return [CompletionItem(before + comma + name) for name in names if name.startswith(last)]

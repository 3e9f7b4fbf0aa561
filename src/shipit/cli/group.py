"""The command line itself: the group of all commands, and how one is registered."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ParamSpec

import click

from shipit import __version__
from shipit.cli import prompts
from shipit.cli.runner import run_command

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
_STATUSES = """\b
Exit statuses:
  0    every host runs the wanted release and it is committed
  1    a bug in shipit: the traceback, and how to report it
  2    the input is wrong; no host was changed
  3    failed before any switch; the previous release keeps running
  4    failed after a switch; every host is rolled back to its previous release
  5    mixed or unknown: some host needs an operator; the last lines name it
  6    only with --detailed-exitcode: a deploy would change something
  130  interrupted; the output says what was done about it"""


@click.group(
    "shipit",
    epilog=_STATUSES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="shipit %(version)s")
def program() -> None:
    """Deploy Python services to Linux VMs, and roll back automatically when a release is bad."""


def command(
    *params: click.Parameter, example: str
) -> Callable[[Callable[P, int]], Callable[P, int]]:
    """Register a function as a command; its docstring is the help.

    Its keyword arguments are the options that only this command has.
    """

    def register(handler: Callable[P, int]) -> Callable[P, int]:
        def callback(**given: Any) -> int:  # noqa: ANN401 - click gives each option its type
            return run_command(handler, given, prompts.password)

        program.add_command(
            click.Command(
                handler.__name__,
                callback=callback,
                params=list(params),
                help=inspect.cleandoc(handler.__doc__ or ""),
                epilog=f"\b\nExamples:\n{example}",
            )
        )
        return handler

    return register

"""Run the command line, and exit with the status of its command."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from shipit.cli.program import program
from shipit.cli.runner import INTERRUPTED, sigterm_as_ctrl_c

if TYPE_CHECKING:
    from collections.abc import Sequence

GARBAGE = 100_000  # objects more than before, after which Python looks for some


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    with sigterm_as_ctrl_c():
        try:
            return int(program.main(arguments, "shipit", standalone_mode=False) or 0)
        except click.ClickException as error:
            return _misused(error, sys.argv[1:] if arguments is None else arguments)
        except click.Abort:
            return INTERRUPTED


def entry() -> NoReturn:
    """Run the command line as the main program of a process."""
    # What a command loads lives until its end; looking for garbage in it takes a tenth of its CPU.
    gc.set_threshold(GARBAGE)
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # All is reported. A connection that still waits for its timeout must not block the terminal.
    os._exit(status)


def _misused(error: click.ClickException, arguments: Sequence[str]) -> int:
    """Report a wrong command line; with --json, also write the result line."""
    error.show()
    if "--json" in arguments:
        from shipit.output.json_lines import JsonOutput  # noqa: PLC0415
        from shipit.output.redaction import Redactor  # noqa: PLC0415

        JsonOutput(sys.stdout, verbosity=0, redactor=Redactor()).conclude(error.exit_code)
    return error.exit_code

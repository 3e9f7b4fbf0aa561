"""The commands that hold deploys, and those that end that."""

# ruff: noqa: PLC0415 - late imports keep help and completion fast

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from shipit.cli.group import command
from shipit.cli.parameters import FORKS, TARGETS, WHY, Moment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shipit.cli.runner import Invocation


@command(
    *TARGETS,
    FORKS,
    WHY,
    click.Option(
        ["--until"],
        type=Moment(),
        default="",
        metavar="TIME",
        help="When it ends: 90m, 2d, or a time such as 2026-12-24T08:00, of this machine's zone if "
        "it names none.  [default: with unhold]",
    ),
    example="  shipit hold playbooks/prod.yaml -m 'the database is being moved' --until 2h",
)
def hold(invocation: Invocation, *, until: str) -> int:
    """Refuse deploys of the playbook's apps on its hosts, from any machine.

    The hosts keep it, with who, when and why. A deploy that runs already goes on. Rollbacks stay
    possible. Exits with 3 if a host gave no answer: it is not held there.
    """
    from shipit.commands import hold as use_case

    found = use_case.hold(invocation.run_options(), invocation.output.quiet, until)
    return _answer(invocation, "hold", found)


@command(*TARGETS, FORKS, WHY, example="  shipit unhold playbooks/prod.yaml -m 'it is moved'")
def unhold(invocation: Invocation) -> int:
    """End all holds: those of `hold`, and those of releases that were rolled back."""
    from shipit.commands import hold as use_case

    found = use_case.unhold(invocation.run_options(), invocation.output.quiet)
    return _answer(invocation, "unhold", found)


def _answer(
    invocation: Invocation, what: str, found: Sequence[tuple[str, Mapping[str, object]]]
) -> int:
    from shipit.output import reports

    ended = reports.query_status(found)
    shown = reports.answers_data(found)
    invocation.output.answer(what, ended, reports.controls(found), deployments=shown)
    return ended

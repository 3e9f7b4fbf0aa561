"""The commands that hold or pause deploys, and those that end that."""

# ruff: noqa: PLC0415 - late imports keep help and completion fast

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from shipit.cli.group import command
from shipit.cli.parameters import FORKS, REASON, TARGETS, WHY, Moment
from shipit.cli.runner import DISCARDED

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
        metavar="TIME",
        help="When it ends: 90m, 2d, or a time such as 2026-12-24T08:00, of this machine's zone if "
        "it names none.  [default: with unhold]",
    ),
    example="  shipit hold playbooks/prod.yaml -m 'the database is being moved' --until 2h",
)
def hold(invocation: Invocation, *, until: str | None) -> int:
    """Refuse deploys of the playbook's apps on its hosts, from any machine.

    The hosts keep it, with who, when and why. A deploy that runs already goes on. Rollbacks stay
    possible. Exits with 3 if a host gave no answer: it is not held there.
    """
    from shipit.commands import hold as use_case

    found = use_case.hold(invocation.run_options(), invocation.output.quiet, until or "")
    return _answer(invocation, "hold", found)


@command(*TARGETS, FORKS, WHY, example="  shipit unhold playbooks/prod.yaml -m 'it is moved'")
def unhold(invocation: Invocation) -> int:
    """End all holds: those of `hold`, and those of releases that were rolled back."""
    from shipit.commands import hold as use_case

    found = use_case.unhold(invocation.run_options(), invocation.output.quiet)
    return _answer(invocation, "unhold", found)


@command(*TARGETS, FORKS, REASON, example="  shipit pause playbooks/prod.yaml -m 'errors on web1'")
def pause(invocation: Invocation) -> int:
    """Stop a deploy that runs before its next batch, from any machine; it waits for `resume`.

    It counts only for hosts that are still to be switched: a deploy of one batch, or in its last
    one, goes on to its end. Hosts that are switched stay so. After a day every host is rolled back.
    Exits with 3 if no deploy runs on the hosts.
    """
    from shipit.commands import hold as use_case

    found = use_case.pause(invocation.run_options(), invocation.output.quiet)
    return _answer(invocation, "pause", found, of_run=True)


@command(*TARGETS, FORKS, REASON, example="  shipit resume playbooks/prod.yaml")
def resume(invocation: Invocation) -> int:
    """Let a paused deploy go on with its next batch. Exits with 3 if none runs on the hosts."""
    from shipit.commands import hold as use_case

    found = use_case.resume(invocation.run_options(), invocation.output.quiet)
    return _answer(invocation, "resume", found, of_run=True)


def _answer(
    invocation: Invocation,
    what: str,
    found: Sequence[tuple[str, Mapping[str, object]]],
    *,
    of_run: bool = False,
) -> int:
    from shipit.output import reports

    ended = reports.query_status(found)
    if of_run and not any(reports.is_of_run(hosts) for _, hosts in found):
        ended = DISCARDED
    shown = reports.answers_data(found)
    invocation.output.answer(what, ended, reports.controls(found, of_run=of_run), deployments=shown)
    return ended

"""The commands that hold, pause, promote or abort deploys, and those that end that."""

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

    It counts only for hosts that are still to be switched; those that are switched stay so. After a
    day every host is rolled back. Exits with 3 if there is nothing to pause: no deploy runs, or all
    of its hosts are switched.
    """
    from shipit.commands import hold as use_case

    found = use_case.pause(invocation.run_options(), invocation.output.quiet)
    return _answer(invocation, "pause", found)


@command(*TARGETS, FORKS, REASON, example="  shipit resume playbooks/prod.yaml")
def resume(invocation: Invocation) -> int:
    """Let a paused deploy go on with its next batch. Exits with 3 if none runs on the hosts."""
    from shipit.commands import hold as use_case

    found = use_case.resume(invocation.run_options(), invocation.output.quiet)
    return _answer(invocation, "resume", found)


@command(*TARGETS, FORKS, REASON, example="  shipit promote playbooks/prod.yaml")
def promote(invocation: Invocation) -> int:
    """Let a deploy whose canary is held go on with the other hosts at once, from any machine.

    Exits with 3 if no canary is held.
    """
    from shipit.commands import hold as use_case

    found = use_case.promote(invocation.run_options(), invocation.output.quiet)
    return _answer(invocation, "promote", found)


@command(*TARGETS, FORKS, WHY, example="  shipit abort playbooks/prod.yaml -m 'orders are lost'")
def abort(invocation: Invocation) -> int:
    """Roll back a deploy whose canary is held, from any machine.

    The deploy ends with 4. The release is held: see docs/rollout.md. Exits with 3 if no canary is
    held.
    """
    from shipit.commands import hold as use_case

    found = use_case.abort(invocation.run_options(), invocation.output.quiet)
    return _answer(invocation, "abort", found)


def _answer(
    invocation: Invocation, what: str, found: Sequence[tuple[str, Mapping[str, object]]]
) -> int:
    from shipit.output import reports
    from shipit.output.controls import report as controls

    ended = reports.query_status(found) if controls.has_effect(what, found) else DISCARDED
    shown = reports.answers_data(found)
    invocation.output.answer(what, ended, controls.answers(what, found), deployments=shown)
    return ended

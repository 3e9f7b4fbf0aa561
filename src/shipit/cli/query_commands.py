"""The commands that ask the hosts and change nothing: status, releases, logs, doctor."""

# ruff: noqa: PLC0415 - late imports keep help and completion fast

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from shipit.cli.group import command
from shipit.cli.parameters import FORKS, TARGETS
from shipit.cli.runner import DISCARDED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shipit.cli.runner import Invocation
    from shipit.output.layout import Part


@command(
    *TARGETS, FORKS, example="  shipit status playbooks/prod.yaml\n  shipit status p.yaml --json"
)
def status(invocation: Invocation) -> int:
    """Show what runs on each host and since when, and whether it is still what was deployed.

    Shows how to fix drift. Exits with 3 if a host gave no answer; 5 if one is stuck, has drifted or
    is drained, or if its watch has failed, does not run or has rolled back.
    """
    from shipit.commands import inspect as use_case
    from shipit.output import reports

    found = use_case.status(invocation.run_options(), invocation.output.quiet)
    return answer(invocation, "status", found, reports.status(found))


@command(*TARGETS, FORKS, example="  shipit releases playbooks/prod.yaml -l web1")
def releases(invocation: Invocation) -> int:
    """Show each host's history: every deploy and rollback, who ran it, why, and how it ended."""
    from shipit.commands import inspect as use_case
    from shipit.output import reports

    found = use_case.releases(invocation.run_options(), invocation.output.quiet)
    return answer(invocation, "releases", found, reports.releases(found))


@command(
    *TARGETS,  # -f is journalctl's and tail's here, not Ansible's
    click.Option(
        ["-n", "--lines"],
        type=click.IntRange(min=0),
        default=100,
        show_default=True,
        metavar="NUMBER",
        help="How many of the last lines to show.",
    ),
    click.Option(
        ["-f", "--follow"], is_flag=True, help="Follow until interrupted; for up to 30 hosts."
    ),
    click.Option(["-s", "--service"], default="", help="Show only this service of the playbook."),
    example="  shipit logs playbooks/prod.yaml -f -l web1 -s worker",
)
def logs(invocation: Invocation, *, lines: int, follow: bool, service: str) -> int:
    """Show the journal of the app's units, each line with its host.

    Includes units on trial, failed releases, and what shipit itself did on the host.
    """
    from shipit.commands import inspect as use_case

    run, output = invocation.run_options(), invocation.output
    return use_case.logs(run, output.aside, output.log, lines=lines, follow=follow, service=service)


@command(*TARGETS, FORKS, example="  shipit doctor playbooks/prod.yaml")
def doctor(invocation: Invocation) -> int:
    """Check whether the controller and every host are ready, and show how to fix problems."""
    from shipit.commands import doctor as use_case
    from shipit.output import reports

    found = use_case.examine(invocation.run_options(), invocation.output.quiet)
    ended = 0 if all(finding.ok for finding in found) else DISCARDED
    invocation.output.answer("doctor", ended, reports.findings(found), findings=list(found))
    return ended


def answer(
    invocation: Invocation,
    what: str,
    found: Sequence[tuple[str, Mapping[str, object]]],
    parts: Sequence[Part],
) -> int:
    """Show the hosts' answers to a query, and return its exit status."""
    from shipit.output import reports

    ended = reports.query_status(found)
    invocation.output.answer(what, ended, parts, deployments=reports.answers_data(found))
    return ended

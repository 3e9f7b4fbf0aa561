"""The command that looks for known vulnerabilities."""

# ruff: noqa: PLC0415 - late imports keep help and completion fast

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from shipit.cli.group import command
from shipit.cli.parameters import (
    FORKS,
    REPORT_FORMAT,
    TARGETS,
    AdvisoryService,
    BundleOrPlaybook,
    Requirement,
)
from shipit.cli.runner import DISCARDED, WRONG_INPUT

if TYPE_CHECKING:
    from shipit.audit import packages
    from shipit.audit.findings import Subject
    from shipit.cli.runner import Invocation
    from shipit.playbook.project import PinnedFile


@command(
    click.Argument(["subject"], type=BundleOrPlaybook(), metavar="BUNDLE|PLAYBOOK"),
    *TARGETS[1:],
    FORKS,
    REPORT_FORMAT,
    click.Option(
        ["--package"],
        type=Requirement(),
        multiple=True,
        metavar="SPEC",
        help="Only find where a package is, such as 'jinja2<3.1.6'; no service is asked. May be "
        "repeated.",
    ),
    click.Option(
        ["--ignore"],
        multiple=True,
        metavar="ID",
        help="Leave out an advisory: its id or an alias such as a CVE; may be repeated.",
    ),
    click.Option(
        ["--service"],
        type=AdvisoryService(),
        default="pypi",
        show_default=True,
        metavar="pypi|osv|URL",
        help="Who is asked: PyPI, osv.dev, or a service at a URL with the query API of osv.dev. It "
        "gets names and versions of the packages.",
    ),
    example="  shipit audit dist/demoapp-1.4.0.shipit --format sarif > audit.sarif\n"
    "  shipit audit playbooks/prod.yaml --package 'jinja2<3.1.6'",
)
def audit(
    invocation: Invocation,
    *,
    subject: PinnedFile | Path,
    report_format: str,
    package: tuple[packages.Wanted, ...],
    ignore: tuple[str, ...],
    service: str,
) -> int:
    """Find known vulnerabilities of the packages in a bundle, or of what runs on the hosts.

    Asks PyPI or osv.dev by pip-audit, which `shipit[audit]` installs. The app itself is left out.
    Exits with 2 if something is found, with 3 if a host gave no answer.
    """
    from shipit.audit.pip_audit import Service
    from shipit.commands import audit as use_case
    from shipit.events import Noted
    from shipit.output import messages
    from shipit.output.lint import formats

    audited = _audited(invocation, subject)
    if package:
        report = use_case.named(audited, package)
    else:
        report = use_case.vulnerabilities(audited, Service(service, ignore))
    failed = [text for each in audited.problems for text in messages.problem(each)]
    skipped = [*report.skipped, *failed]
    for text in skipped:
        invocation.output.quiet(Noted(text))
    ended = WRONG_INPUT if report.findings else DISCARDED if audited.problems else 0
    parts = formats.FORMATS[report_format](report, Path.cwd())
    found = [formats.data(finding) for finding in report.findings]
    invocation.output.answer("audit", ended, parts, findings=found, skipped=skipped)
    return ended


def _audited(invocation: Invocation, subject: PinnedFile | Path) -> Subject:
    from shipit.commands import audit as use_case

    emit = invocation.output.quiet
    if isinstance(subject, Path):
        return use_case.of_hosts(invocation.of(subject).run_options(), emit)
    return use_case.of_bundle(subject, emit)

"""The use case audit: known vulnerabilities of a bundle, or of what runs on hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shipit.audit import findings, packages, pip_audit
from shipit.audit.findings import Subject
from shipit.commands import bundle as bundles
from shipit.errors import InputError, Mistake, Place
from shipit.lint.findings import Report
from shipit.release.inputs import targets
from shipit.rollout.connections import connect_all
from shipit.rollout.prepare import ask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shipit.agent.protocol.manifest import Manifest
    from shipit.audit.packages import Wanted
    from shipit.audit.pip_audit import Service
    from shipit.events import Emit, Problem
    from shipit.playbook.project import PinnedFile
    from shipit.release.inputs import RunOptions


def of_bundle(bundle: PinnedFile, emit: Emit) -> Subject:
    """Return what a bundle contains.

    Raises:
        InputError: it is missing or broken.
    """
    found = bundles.read(bundle, emit)
    return Subject(found.name, packages.of_bundle(found.manifest))


def of_hosts(run: RunOptions, emit: Emit) -> Subject:
    """Return what runs on the playbook's hosts; nothing is changed there.

    Raises:
        InputError: the playbook or the inventory is wrong.
    """
    running: list[tuple[str, Manifest]] = []
    problems: list[Problem] = []
    for found in targets(run):
        with connect_all(found, run, emit) as connections:
            answers = ask(found, connections, recover=False)
            problems += connections.problems().values()
        running += [(host, facts.current) for host, facts in answers.items() if facts.current]
    return Subject(str(run.playbook), packages.of_hosts(running), tuple(problems))


def vulnerabilities(subject: Subject, service: Service) -> Report:
    """Return the known vulnerabilities of all packages.

    Raises:
        InputError: the service gave no answer, or knows none of the packages.
    """
    answer = pip_audit.ask(subject.packages, service)
    if subject.packages and len(answer.unknown) == len(subject.packages):
        what = "the service for known vulnerabilities knows none of the packages"
        hint = "check that it can be reached; --service chooses another"
        raise InputError(Mistake("audit-failed", what, Place(subject.file), hint))
    found = tuple(findings.vulnerabilities(subject, answer.advisories))
    skipped = tuple(f"{each}: unknown to the service, not audited" for each in answer.unknown)
    return Report(found, skipped)


def named(subject: Subject, wanted: Sequence[Wanted]) -> Report:
    """Return where versions of packages are; no service is asked."""
    found = (finding for each in wanted for finding in findings.named(subject, each))
    return Report(tuple(found))

"""The use case lint: check playbooks without a host, a network or a secret.

Finds what a deploy would find before it contacts a host, and what the rules of `lint` warn about.
Runs no command for a secret. What can't be known here (a file that is missing in this checkout, a
vault without its password) is skipped and named.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from shipit.errors import ErrorCollector, merged
from shipit.lint import rules, unused
from shipit.lint.findings import Finding, Level, Report
from shipit.playbook.fields import TEMPLATES
from shipit.release import offline
from shipit.release.inputs import inventory_of, resolve, targets

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from shipit.errors import Mistake
    from shipit.release.inputs import RunOptions


@dataclass
class _Found:
    """What is found in one playbook."""

    playbook: str
    errors: list[Mistake] = field(default_factory=list)
    warnings: list[Mistake] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def lint(playbooks: Sequence[Path], options_of: Callable[[Path], RunOptions]) -> Report:
    """Return what is found in all playbooks, each finding once.

    Args:
        playbooks: the files.
        options_of: returns the options for one of them; may raise InputError.
    """
    found = [_check(playbook, options_of) for playbook in playbooks]
    skipped = dict.fromkeys(text for each in found for text in each.skipped)
    return Report(
        (
            *_findings(Level.ERROR, [(each.playbook, each.errors) for each in found]),
            *_findings(Level.WARNING, [(each.playbook, each.warnings) for each in found]),
        ),
        tuple(skipped),
    )


def _findings(level: Level, found: Sequence[tuple[str, Sequence[Mistake]]]) -> list[Finding]:
    """Return mistakes by place, each once, with the first playbook that has it."""
    playbooks: dict[Mistake, str] = {}
    for playbook, mistakes in found:
        for mistake in mistakes:
            playbooks.setdefault(replace(mistake, hosts=()), playbook)
    merged_ones = merged(mistake for _, mistakes in found for mistake in mistakes)
    findings = [Finding(level, it, playbooks[replace(it, hosts=())]) for it in merged_ones]
    return sorted(findings, key=lambda finding: finding.place)


def _check(playbook: Path, options_of: Callable[[Path], RunOptions]) -> _Found:
    errors, made = ErrorCollector(), _Found(str(playbook))
    run = errors.attempt(options_of, playbook)
    found = (errors.attempt(targets, run, must_exist=TEMPLATES) if run else None) or []
    for each in found:
        errors.attempt(resolve, each, offline.readers())
        made.warnings += rules.warnings(each)
        made.skipped += (f"{path} is not there: not checked" for path in offline.missing(each))
        made.skipped += (f"{url} is not fetched: not checked" for url in offline.elsewhere(each))
    made.warnings += unused.variables(found)
    undecided = _undecided(errors.mistakes, run) if run else []
    made.skipped += (
        f"{it.place or playbook}: {it.summary}: not checked; {it.hint}" for it in undecided
    )
    made.errors += (it for it in errors.mistakes if it not in undecided)
    return made


def _undecided(mistakes: Sequence[Mistake], run: RunOptions) -> list[Mistake]:
    """Return the mistakes that may be none once a vault is open."""
    if not any(mistake.code in ("vault-locked", "template-undefined") for mistake in mistakes):
        return []
    known = ErrorCollector().attempt(inventory_of, run)
    locked = {host.name for host in known.hosts if host.locked} if known else set[str]()
    return [
        mistake
        for mistake in mistakes
        if mistake.code == "vault-locked"
        or (mistake.code == "template-undefined" and not locked.isdisjoint(mistake.hosts))
    ]

"""The formats of `shipit lint` and `shipit audit`, by the names that --format has for them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from shipit import __version__
from shipit.lint.findings import Finding, Level, Report
from shipit.output import messages
from shipit.output.layout import Diagnostic, Line, Part
from shipit.output.lint import error_codes, github, sarif

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_STYLES: Mapping[Level, str] = {Level.ERROR: "bad", Level.WARNING: "warn"}


def text(report: Report, _here: Path) -> Sequence[Part | Diagnostic]:
    """Return every finding as other errors are shown, and how many there are of each level."""
    shown = [Diagnostic(it.mistake, it.level.value, _STYLES[it.level]) for it in report.findings]
    counts = {level: report.count(level) for level in Level}
    named = ", ".join(messages.count(n, level.value) for level, n in counts.items() if n)
    style = _STYLES[report.findings[0].level] if report.findings else "good"
    return [*shown, Line(named or "no findings", style)]


def github_annotations(report: Report, here: Path) -> Sequence[Part]:
    """Return a workflow command of GitHub Actions for each finding."""
    return [Line(github.annotation(finding, here)) for finding in report.findings]


def sarif_document(report: Report, here: Path) -> Sequence[Part]:
    """Return one SARIF document."""
    meanings = error_codes.meanings(error_codes.page())
    made = sarif.document(report.findings, here, meanings, __version__)
    return [Line(line) for line in json.dumps(made, indent=2).splitlines()]


FORMATS: Mapping[str, Callable[[Report, Path], Sequence[Part | Diagnostic]]] = {
    "text": text,
    "github": github_annotations,
    "sarif": sarif_document,
}


def data(finding: Finding) -> dict[str, object]:
    """Return a finding for JSON."""
    mistake = finding.mistake
    return {
        "level": finding.level,
        "code": mistake.code,
        "what": mistake.what,
        "hint": mistake.hint,
        "place": finding.place,
        "hosts": mistake.hosts,
    }

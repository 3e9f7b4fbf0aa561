"""Findings as workflow commands, which GitHub Actions shows at the lines of a pull request.

Pure. The form is that of "Workflow commands for GitHub Actions" (docs.github.com), the escapes
those of @actions/core.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shipit.output.lint.location import relative

if TYPE_CHECKING:
    from pathlib import PurePath

    from shipit.lint.findings import Finding

_IN_MESSAGES = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_IN_PROPERTIES = {**_IN_MESSAGES, ord(":"): "%3A", ord(","): "%2C"}


def annotation(finding: Finding, here: PurePath) -> str:
    """Return a finding as one line; paths are relative to `here`, an absolute path."""
    mistake, place = finding.mistake, finding.place
    properties = {
        "file": relative(place.file, here),
        "line": str(place.line or 1),
        "col": str(place.column or ""),
        "title": mistake.code,
    }
    named = ",".join(
        f"{name}={value.translate(_IN_PROPERTIES)}" for name, value in properties.items() if value
    )
    message = "\n".join(filter(None, (mistake.summary, mistake.hint)))
    return f"::{finding.level.value} {named}::{message.translate(_IN_MESSAGES)}"

"""Findings as SARIF 2.1.0, which GitHub's code scanning and editors show at the source.

Pure. The format is OASIS sarif-v2.1.0; of its properties, those that GitHub reads
("SARIF support for code scanning", docs.github.com).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from shipit.output.lint.location import relative

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import PurePath

    from shipit.errors import Place
    from shipit.lint.findings import Finding
    from shipit.output.lint.error_codes import Meaning

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_ROOT = "SRCROOT"  # what relative paths are relative to


def document(
    findings: Sequence[Finding], here: PurePath, meanings: Mapping[str, Meaning], version: str
) -> dict[str, Any]:
    """Return the log of one run.

    Args:
        findings: become results, in this order.
        here: an absolute path; the paths of files below it become relative.
        meanings: of all codes; a rule is made of each code that is found.
        version: shipit's.
    """
    codes = list(dict.fromkeys(finding.mistake.code for finding in findings))
    driver = {
        "name": "shipit",
        "semanticVersion": version,
        "rules": [_rule(code, meanings[code]) for code in codes],
    }
    seen: Counter[str] = Counter()
    results = [_result(each, here, codes.index(each.mistake.code), seen) for each in findings]
    root = {"description": {"text": "The folder in which shipit was run."}}
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver},
                "columnKind": "unicodeCodePoints",
                "originalUriBaseIds": {_ROOT: root},
                "results": results,
            }
        ],
    }


def _rule(name: str, meaning: Meaning) -> dict[str, Any]:
    return {
        "id": name,
        "shortDescription": {"text": meaning.cause},
        "fullDescription": {"text": meaning.cause},
        "help": {"text": meaning.fix, "markdown": meaning.fix},
    }


def _result(finding: Finding, here: PurePath, rule: int, seen: Counter[str]) -> dict[str, Any]:
    mistake, place = finding.mistake, finding.place
    path = relative(place.file, here)
    fingerprint = _fingerprint(mistake.code, path, mistake.what)
    seen[fingerprint] += 1
    physical = {"artifactLocation": _artifact(path)}
    return {
        "ruleId": mistake.code,
        "ruleIndex": rule,
        "level": finding.level.value,
        "message": {"text": ". ".join(filter(None, (mistake.summary, mistake.hint)))},
        "locations": [{"physicalLocation": physical | _region(place)}],
        "partialFingerprints": {"finding/v1": f"{fingerprint}:{seen[fingerprint]}"},
    }


def _artifact(path: str) -> dict[str, str]:
    if PurePosixPath(path).is_absolute():
        return {"uri": f"file://{quote(path)}"}
    return {"uri": quote(path), "uriBaseId": _ROOT}


def _region(place: Place) -> dict[str, Any]:
    if not place.line:
        return {}
    column = {"startColumn": place.column} if place.column else {}
    return {"region": {"startLine": place.line, **column}}


def _fingerprint(*parts: str) -> str:
    """Return a digest that lines above the finding do not change; it says nothing of a value."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]

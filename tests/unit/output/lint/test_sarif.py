"""What the schema of SARIF 2.1.0 and GitHub's code scanning demand of a log."""

from __future__ import annotations

import json
import re
from pathlib import PurePath
from typing import Any

from shipit.errors import Mistake, Place
from shipit.lint.findings import Finding, Level
from shipit.output.lint.error_codes import Meaning
from shipit.output.lint.sarif import document

HERE = PurePath("/srv/repo")
MEANINGS = {code: Meaning(f"cause of {code}", f"fix of {code}") for code in ("one", "two", "no")}
URI = re.compile(r"[A-Za-z0-9._~/%-]+|file:///[A-Za-z0-9._~/%-]+")  # RFC 3986, as used here
FINDINGS = [
    (Level.ERROR, Mistake("two", "wrong", Place("my book.yaml", 3, 7), "do this", ("web1",))),
    (Level.ERROR, Mistake("one", "worse", Place("/etc/x", 2))),
    (Level.WARNING, Mistake("two", "odd", Place("--limit"))),
    (Level.WARNING, Mistake("two", "odd", Place("--limit"), "other")),
]


def log(*found: tuple[Level, Mistake]) -> dict[str, Any]:
    findings = [Finding(level, mistake, "books/prod.yaml") for level, mistake in found]
    made: dict[str, Any] = json.loads(json.dumps(document(findings, HERE, MEANINGS, "1.2.3")))
    (run,) = made["runs"]
    assert {"$schema", "version", "runs"} == made.keys()
    assert made["version"] == "2.1.0"
    assert isinstance(run, dict)
    return run


def test_the_tool_has_a_name_a_version_and_a_rule_for_each_code_that_is_found() -> None:
    driver = log(*FINDINGS)["tool"]["driver"]
    assert (driver["name"], driver["semanticVersion"]) == ("shipit", "1.2.3")
    assert [rule["id"] for rule in driver["rules"]] == ["two", "one"]
    for rule in driver["rules"]:
        assert rule["shortDescription"] == {"text": f"cause of {rule['id']}"}
        assert rule["fullDescription"]["text"]
        assert rule["help"]["text"] == f"fix of {rule['id']}"


def test_every_result_has_what_the_schema_requires() -> None:
    run = log(*FINDINGS)
    rules = run["tool"]["driver"]["rules"]
    assert run["columnKind"] in ("utf16CodeUnits", "unicodeCodePoints")
    assert len(run["results"]) == len(FINDINGS)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning")
        assert result["message"]["text"]
        ((location),) = result["locations"]
        artifact = location["physicalLocation"]["artifactLocation"]
        assert URI.fullmatch(artifact["uri"])
        assert artifact.get("uriBaseId", "SRCROOT") in run["originalUriBaseIds"]
        region = location["physicalLocation"].get("region", {"startLine": 1})
        assert all(isinstance(number, int) and number >= 1 for number in region.values())
        assert all(isinstance(text, str) for text in result["partialFingerprints"].values())


def test_places_are_relative_where_they_can_be() -> None:
    first, second, third, _ = (it["locations"][0]["physicalLocation"] for it in results())
    assert first == {
        "artifactLocation": {"uri": "my%20book.yaml", "uriBaseId": "SRCROOT"},
        "region": {"startLine": 3, "startColumn": 7},
    }
    assert second == {"artifactLocation": {"uri": "file:///etc/x"}, "region": {"startLine": 2}}
    assert third == {"artifactLocation": {"uri": "books/prod.yaml", "uriBaseId": "SRCROOT"}}


def results() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = log(*FINDINGS)["results"]
    return found


def test_a_message_says_on_which_hosts_and_what_to_do() -> None:
    assert results()[0]["message"]["text"] == "wrong, on web1. do this"


def test_a_fingerprint_stays_when_lines_move_and_differs_for_every_finding() -> None:
    def prints(line: int) -> list[str]:
        moved = (Level.ERROR, Mistake("two", "wrong", Place("my book.yaml", line, 7)))
        found = log(moved, *FINDINGS[1:])["results"]
        return [result["partialFingerprints"]["finding/v1"] for result in found]

    assert prints(3) == prints(30)
    assert len({*prints(3)}) == len(FINDINGS)


def test_nothing_found_is_a_log_without_results() -> None:
    """Code scanning closes its alerts then."""
    run = log()
    assert (run["results"], run["tool"]["driver"]["rules"]) == ([], [])

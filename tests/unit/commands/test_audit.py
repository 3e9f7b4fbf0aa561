"""An audit of a bundle and of hosts; pip-audit itself has its own tests."""

from __future__ import annotations

import pytest

from shipit.audit import pip_audit
from shipit.audit.findings import Subject
from shipit.audit.packages import Package, Wanted
from shipit.audit.pip_audit import Advisory, Answer, Service
from shipit.commands import audit
from shipit.errors import InputError

OLD, UV = Package("jinja2", "3.1.4"), Package("uv", "0.9")
SUBJECT = Subject("prod.yaml", {OLD: ("web1",), UV: ("web1",)})
KNOWN = Advisory("GHSA-1", (), "bad", ())


def answering(monkeypatch: pytest.MonkeyPatch, answer: Answer) -> None:
    monkeypatch.setattr(pip_audit, "ask", lambda *_: answer)


def test_packages_that_the_service_does_not_know_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answering(monkeypatch, Answer({OLD: (KNOWN,)}, (UV,)))
    report = audit.vulnerabilities(SUBJECT, Service())
    assert [finding.mistake.code for finding in report.findings] == ["vulnerable-package"]
    assert report.skipped == ("uv 0.9: unknown to the service, not audited",)


def test_a_service_that_knows_nothing_at_all_is_no_good_news(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answering(monkeypatch, Answer({}, (OLD, UV)))
    with pytest.raises(InputError) as caught:
        audit.vulnerabilities(SUBJECT, Service())
    assert [mistake.code for mistake in caught.value.mistakes] == ["audit-failed"]


def test_hosts_without_a_release_have_nothing_to_audit() -> None:
    assert audit.vulnerabilities(Subject("prod.yaml", {}), Service()).findings == ()


def test_packages_are_found_by_all_names_that_are_given() -> None:
    report = audit.named(SUBJECT, [Wanted("jinja2<3.1.5"), Wanted("uv"), Wanted("flask")])
    whats = [finding.mistake.what for finding in report.findings]
    assert whats == ["jinja2 3.1.4 is in jinja2<3.1.5", "uv 0.9 is in uv"]

"""What an audit reports."""

from __future__ import annotations

from packaging.requirements import Requirement

from shipit.audit.findings import SHOWN, Subject, named, vulnerabilities
from shipit.audit.packages import Package
from shipit.audit.pip_audit import Advisory
from shipit.errors import Mistake, Place
from shipit.lint.findings import Finding, Level

JINJA = Package("jinja2", "3.1.4")
SUBJECT = Subject("prod.yaml", {JINJA: ("web1", "web2"), Package("uv", "0.9"): ("web1",)})


def test_a_vulnerability_says_what_it_is_where_and_what_to_do() -> None:
    known = {JINJA: [Advisory("GHSA-1", ("CVE-1", "CVE-2"), "bad", ("3.1.5", "4.0"))]}
    what = "jinja2 3.1.4 has GHSA-1, CVE-1, CVE-2: bad"
    hint = "update it to 3.1.5 or 4.0, and deploy again"
    mistake = Mistake("vulnerable-package", what, Place("prod.yaml"), hint, hosts=("web1", "web2"))
    assert [*vulnerabilities(SUBJECT, known)] == [Finding(Level.ERROR, mistake, "prod.yaml")]


def test_one_without_an_alias_or_a_fix_says_that_and_long_texts_are_cut() -> None:
    known = {JINJA: [Advisory("GHSA-1", (), "x" * (SHOWN + 1), ())]}
    (finding,) = vulnerabilities(SUBJECT, known)
    assert finding.mistake.what == f"jinja2 3.1.4 has GHSA-1: {'x' * SHOWN} ..."
    assert finding.mistake.hint == "no version is fixed yet"


def test_a_package_is_found_by_name_and_version() -> None:
    (finding,) = named(SUBJECT, Requirement("jinja2<3.1.6"))
    assert (finding.mistake.code, finding.mistake.hosts) == ("package-found", ("web1", "web2"))
    assert finding.mistake.what == "jinja2 3.1.4 is in jinja2<3.1.6"
    assert [*named(SUBJECT, Requirement("jinja2>4"))] == []

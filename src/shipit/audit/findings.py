"""What an audit finds, in the form that `shipit lint` has for its findings. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shipit.audit.packages import matching
from shipit.errors import Mistake, Place
from shipit.lint.findings import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from shipit.audit.packages import Package, Wanted
    from shipit.audit.pip_audit import Advisory
    from shipit.events import Problem

SHOWN = 200  # characters of an advisory's text


@dataclass(frozen=True)
class Subject:
    """What is audited.

    Attributes:
        file: the bundle, or the playbook of the hosts.
        packages: each with its targets or hosts.
        problems: of the hosts that gave no answer.
    """

    file: str
    packages: Mapping[Package, tuple[str, ...]]
    problems: tuple[Problem, ...] = ()


def vulnerabilities(
    subject: Subject, known: Mapping[Package, Sequence[Advisory]]
) -> Iterator[Finding]:
    """Yield a finding for each advisory of each package."""
    for package, advisories in known.items():
        for advisory in advisories:
            names = ", ".join((advisory.id, *advisory.aliases))
            text = advisory.text
            short = text if len(text) <= SHOWN else f"{text[:SHOWN]} ..."
            fixed = " or ".join(advisory.fixed)
            hint = f"update it to {fixed}, and deploy again" if fixed else "no version is fixed yet"
            yield _finding("vulnerable-package", subject, package, f"has {names}: {short}", hint)


def named(subject: Subject, wanted: Wanted) -> Iterator[Finding]:
    """Yield a finding for each version of a package that a requirement includes."""
    for package in matching(subject.packages, wanted):
        yield _finding("package-found", subject, package, f"is in {wanted}")


def _finding(code: str, subject: Subject, package: Package, what: str, hint: str = "") -> Finding:
    where, place = subject.packages[package], Place(subject.file)
    mistake = Mistake(code, f"{package} {what}", place, hint, hosts=where)
    return Finding(Level.ERROR, mistake, subject.file)

"""Ask pip-audit which vulnerabilities of packages are known.

It is a program of the extra `shipit[audit]`. It sends names and versions to the service: PyPI's
JSON API, or one that speaks OSV's (https://google.github.io/osv.dev/post-v1-query/).
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name

from shipit.audit.packages import Package, without_duplicates
from shipit.errors import InputError, Mistake
from shipit.project.programs import Program, reason_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

TIMEOUT = 600.0  # seconds for all packages of one call
ANSWER_TIMEOUT = 15  # seconds for one answer of the service
MODULE = "pip_audit"


@dataclass(frozen=True)
class Service:
    """Who is asked.

    Attributes:
        name: pypi, osv, or the URL of a service that speaks OSV's API.
        ignored: ids of advisories that are left out, or aliases of theirs.
    """

    name: str = "pypi"
    ignored: tuple[str, ...] = ()

    def options(self) -> list[str]:
        """Return pip-audit's options for it; a URL may have a password, and is no argument."""
        name = "osv" if self.is_url else self.name
        ignored = [word for each in self.ignored for word in ("--ignore-vuln", each)]
        return ["--vulnerability-service", name, *ignored]

    def environment(self) -> dict[str, str]:
        """Return its environment; variables of the user's may not redirect the answer."""
        url = {"PIP_AUDIT_OSV_URL": self.name} if self.is_url else {}
        return {"PIP_AUDIT_OUTPUT": "stdout", **url}

    @property
    def is_url(self) -> bool:
        return "://" in self.name


@dataclass(frozen=True)
class Advisory:
    """A known vulnerability of a package.

    Attributes:
        id: such as GHSA-h5c8-rqwp-cp95 or PYSEC-2024-60.
        aliases: the same in other databases, such as a CVE.
        text: what it is, in one line.
        fixed: the versions that have it no longer, the lowest first; empty if there is none.
    """

    id: str
    aliases: tuple[str, ...]
    text: str
    fixed: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """What is known of each package, and of which the service knows nothing."""

    advisories: Mapping[Package, tuple[Advisory, ...]]
    unknown: tuple[Package, ...]


def ask(packages: Iterable[Package], service: Service) -> Answer:
    """Return the advisories for packages.

    Raises:
        InputError: pip-audit is not installed (audit-missing), or has no answer (audit-failed).
    """
    if find_spec(MODULE) is None:
        what = "pip-audit is not installed; it asks for known vulnerabilities"
        hint = "install it beside shipit: uv tool install 'shipit[audit]', or pip install pip-audit"
        raise InputError(Mistake("audit-missing", what, None, hint))
    advisories: dict[Package, tuple[Advisory, ...]] = {}
    unknown: list[Package] = []
    for some in without_duplicates(packages):
        answers = {canonicalize_name(each["name"]): each for each in _asked(some, service)}
        for package in some:
            answer = answers.get(canonicalize_name(package.name), {})
            if "vulns" in answer:
                advisories[package] = tuple(map(_advisory, answer["vulns"]))
            else:
                unknown.append(package)
    return Answer({package: found for package, found in advisories.items() if found}, (*unknown,))


def _asked(packages: Sequence[Package], service: Service) -> Iterator[dict[str, Any]]:
    """Yield pip-audit's answer for each package; no name may occur twice."""
    with tempfile.TemporaryDirectory(prefix="shipit-audit-") as folder:
        named = Path(folder, "requirements.txt")
        named.write_text("".join(f"{each.name}=={each.version}\n" for each in packages))
        argv = [sys.executable, "-m", MODULE, "--requirement", str(named), "--no-deps"]
        argv += ["--disable-pip", "--progress-spinner", "off", "--format", "json"]
        argv += ["--desc", "on", "--aliases", "on", "--timeout", str(ANSWER_TIMEOUT)]
        what = "ask for known vulnerabilities"
        call = [*argv, *service.options()]
        program = Program(what, call, Path(folder), TIMEOUT, service.environment())
        status, output, errors = program.attempt()
    try:  # its exit status is 1 for findings, and for errors
        yield from json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError) as error:
        late = f"it took longer than {TIMEOUT:g} s" if status is None else ""
        reason = f"cannot {what}: {late or reason_in(errors or output)}"
        hint = "check that the service can be reached; --service chooses another"
        raise InputError(Mistake("audit-failed", reason, None, hint)) from error


def _advisory(found: Mapping[str, Any]) -> Advisory:
    text = " ".join(str(found.get("description") or "no description").split())
    fixed = tuple(map(str, found.get("fix_versions") or ()))
    return Advisory(str(found["id"]), tuple(map(str, found.get("aliases") or ())), text, fixed)

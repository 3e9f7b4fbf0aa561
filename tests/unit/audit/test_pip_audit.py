"""What pip-audit says of packages, asked of a server with OSV's API."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

import advisories
from shipit.audit import pip_audit
from shipit.audit.packages import Package
from shipit.audit.pip_audit import Advisory, ask
from shipit.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW, OTHER = Package("jinja2", "3.1.4"), Package("jinja2", "3.1.6"), Package("uv", "0.9.0")
RECORD = advisories.advisory("jinja2", "0", "3.1.5", "GHSA-h5c8-rqwp-cp95")
KNOWN = Advisory(
    "CVE-of-GHSA-h5c8-rqwp-cp95",  # pip-audit takes the best known name
    ("GHSA-h5c8-rqwp-cp95",),
    "jinja2 lets a template break out of its sandbox",
    ("3.1.5",),
)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what pip-audit remembers, and what the user has set for it, out of the way."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_AUDIT_OUTPUT", str(tmp_path / "elsewhere.json"))
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


def test_each_version_has_its_own_advisories() -> None:
    with advisories.serving(advisories.Service({("jinja2", "3.1.4"): [RECORD]})) as server:
        answer = ask([OLD, NEW, OTHER], pip_audit.Service(server.url))
    assert answer.advisories == {OLD: (KNOWN,)}
    assert answer.unknown == ()
    assert sorted(server.asked) == [("jinja2", "3.1.4"), ("jinja2", "3.1.6"), ("uv", "0.9.0")]


def test_an_advisory_is_ignored_by_its_alias() -> None:
    with advisories.serving(advisories.Service({("jinja2", "3.1.4"): [RECORD]})) as server:
        ignored = ("GHSA-h5c8-rqwp-cp95",)
        answer = ask([OLD], pip_audit.Service(server.url, ignored))
    assert answer.advisories == {}


def test_a_service_that_fails_is_an_error_that_says_so_and_hides_its_password() -> None:
    with advisories.serving(advisories.Service(status=503)) as server:
        url = server.url.replace("http://", "http://me:hunter2@")
        with pytest.raises(InputError) as caught:
            ask([OLD], pip_audit.Service(url))
    assert [mistake.code for mistake in caught.value.mistakes] == ["audit-failed"]
    assert server.asked
    assert [word for word in ("hunter2", "Traceback") if word in str(caught.value)] == []


def test_the_url_of_a_service_is_no_argument_of_a_program() -> None:
    service = pip_audit.Service("https://me:hunter2@advisories.example/v1/query")
    assert service.options() == ["--vulnerability-service", "osv"]
    assert service.environment()["PIP_AUDIT_OSV_URL"] == service.name


def test_without_pip_audit_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pip_audit, "MODULE", "no_such_module")
    with pytest.raises(InputError) as caught:
        ask([OLD], pip_audit.Service())
    (mistake,) = caught.value.mistakes
    assert mistake.code == "audit-missing"
    assert "shipit[audit]" in mistake.hint

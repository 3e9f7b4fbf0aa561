"""The bill of materials of a bundle."""

from __future__ import annotations

import json

from shipit.archive import sbom
from unit.archive.test_manifest import BROUGHT, MADE, A, B, D


def test_it_has_the_app_and_every_wheel_with_its_digest() -> None:
    bill = json.loads(sbom.text_of(MADE, time=0))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    app = bill["metadata"]["component"]
    assert (app["name"], app["version"], app["type"]) == ("app", "1.0", "application")
    assert [each["name"] for each in bill["components"]] == ["dep", "uv"]
    dep = bill["components"][0]
    assert dep["purl"] == "pkg:pypi/dep@1.0?file_name=dep-1.0-py3-none-any.whl"
    assert dep["hashes"] == [{"alg": "SHA-256", "content": B}]
    assert bill["metadata"]["timestamp"] == "1970-01-01T00:00:00+00:00"
    needs = {each["ref"]: each.get("dependsOn", []) for each in bill["dependencies"]}
    assert B in needs[A]


def test_the_same_bundle_has_the_same_bill() -> None:
    assert sbom.text_of(MADE, time=0) == sbom.text_of(MADE, time=0)


def test_a_python_is_a_platform() -> None:
    bill = json.loads(sbom.text_of(BROUGHT, time=0))
    (python,) = (each for each in bill["components"] if each["type"] == "platform")
    assert (python["name"], python["version"]) == ("cpython", "3.13.1")
    assert python["hashes"] == [{"alg": "SHA-256", "content": D}]
    assert python["purl"] == "pkg:generic/cpython@3.13.1?file_name=cpython-3.13.1.tar.gz"

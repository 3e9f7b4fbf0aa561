"""Which packages are where."""

from __future__ import annotations

from dataclasses import replace

import pytest
from packaging.requirements import Requirement

from shipit.agent.protocol.manifest import Artifact as Wheel
from shipit.archive.manifest import Artifact
from shipit.audit.packages import Package, matching, of_bundle, of_hosts, without_duplicates
from unit.archive.test_manifest import MADE, B
from unit.release.test_plan import manifest

OTHER = "linux-aarch64-gnu2.36-cp311"
JINJA, OLD_JINJA = Package("jinja2", "3.1.6"), Package("jinja2", "3.1.4")


def wheel(name: str, version: str) -> Wheel:
    return Wheel(name, version, f"{name}-{version}-py3-none-any.whl", "0" * 64, 1)


def test_the_packages_of_a_bundle_have_the_targets_that_get_them_and_the_app_is_none() -> None:
    first = MADE.targets[0]
    more = Artifact("Fast.Dep-2.0-py3-none-any.whl", "d" * 64, 1)
    second = replace(first, target=OTHER, wheels=(*first.wheels, more.sha256))
    made = replace(MADE, artifacts={**MADE.artifacts, more.sha256: more}, targets=(first, second))
    found = of_bundle(made)
    assert found[Package("fast-dep", "2.0")] == (OTHER,)
    assert {places for package, places in found.items() if package.name != "fast-dep"} == {
        (first.target, OTHER)
    }
    assert MADE.name not in {package.name for package in found}
    assert len(found) == len({*first.wheels, first.installer, more.sha256})
    assert B in MADE.artifacts


def test_the_packages_that_run_have_their_hosts_once_each_and_normalized_names() -> None:
    release = replace(
        manifest("1.0"),
        wheels=(wheel("Jinja2", "3.1.6"),),
        installer_wheel=wheel("uv", "0.9"),
    )
    older = replace(release, wheels=(wheel("jinja2", "3.1.4"),))
    found = of_hosts([("web1", release), ("web2", older), ("web1", release)])
    assert found == {
        OLD_JINJA: ("web2",),
        JINJA: ("web1",),
        Package("uv", "0.9"): ("web1", "web2"),
    }


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("jinja2<3.1.6", [OLD_JINJA, Package("jinja2", "3.1.5rc1")]),
        ("Jinja2", [OLD_JINJA, Package("jinja2", "3.1.5rc1"), JINJA]),
        ("jinja2>4", []),
        ("jinja", []),
    ],
)
def test_versions_of_a_package_are_found_by_a_requirement(
    wanted: str, found: list[Package]
) -> None:
    packages = [Package("aiohttp", "3.1.4"), OLD_JINJA, Package("jinja2", "3.1.5rc1"), JINJA]
    assert [*matching(packages, Requirement(wanted))] == found


def test_no_list_has_a_name_twice_and_there_are_as_few_as_can_be() -> None:
    packages = [OLD_JINJA, JINJA, Package("uv", "0.9"), Package("uv", "0.8")]
    assert without_duplicates(packages) == [
        [OLD_JINJA, Package("uv", "0.9")],
        [JINJA, Package("uv", "0.8")],
    ]
    assert without_duplicates([]) == []

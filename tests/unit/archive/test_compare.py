"""What differs between two bundles."""

from __future__ import annotations

from dataclasses import replace

from shipit.archive.compare import Change, changes, revision
from shipit.archive.manifest import Artifact
from unit.archive.test_manifest import BROUGHT, MADE, NEW, PYTHON, A, B


def test_equal_bundles_have_no_difference() -> None:
    assert changes(MADE, MADE, {"a.py": "1"}, {"a.py": "1"}) == []


def test_versions_packages_targets_files_and_revisions_are_compared() -> None:
    other = replace(
        MADE,
        version="1.1",
        revision="v1.1",
        is_dirty=True,
        artifacts={**MADE.artifacts, B: Artifact("dep-2.0-py3-none-any.whl", B, 2)},
        targets=(replace(MADE.targets[0], target="linux-x86_64-gnu2.31-cp311"),),
        env={"web": ("PORT",)},
    )
    assert changes(MADE, other, {"a.py": "1", "b.py": "1"}, {"b.py": "2", "c.py": "1"}) == [
        Change("app", "app", "1.0", "1.1"),
        Change("revision", "", "none", "v1.1, with changes"),
        Change("target", "linux-x86_64-gnu2.31-cp311", "", "linux-x86_64-gnu2.31-cp311"),
        Change("target", "linux-x86_64-gnu2.36-cp311", "linux-x86_64-gnu2.36-cp311", ""),
        Change("package", "dep", "1.0", "2.0"),
        Change("env", "web PORT", "", "PORT"),
        Change("file", "a.py", "1", ""),
        Change("file", "b.py", "1", "2"),
        Change("file", "c.py", "", "1"),
    ]


def test_a_revision_without_a_tag_is_its_commit() -> None:
    assert revision(replace(MADE, commit="abc")) == "abc"


def test_a_wheel_that_was_built_anew_in_the_same_version_is_a_change() -> None:
    other = "d" * 64
    artifacts = {A: MADE.artifacts[A], other: replace(MADE.artifacts[B], sha256=other)}
    artifacts |= {sha256: each for sha256, each in MADE.artifacts.items() if sha256 != B}
    new = replace(MADE, artifacts=artifacts, targets=(replace(MADE.targets[0], wheels=(other,)),))
    assert changes(MADE, new, {}, {}) == [
        Change("wheel", "dep-1.0-py3-none-any.whl", f"sha256:{B}", f"sha256:{other}")
    ]


def test_a_python_is_compared_for_each_target() -> None:
    newer = replace(PYTHON, python="3.13.2", sha256="e" * 64)
    artifacts = {**MADE.artifacts, newer.sha256: newer}
    targets = (BROUGHT.targets[0], replace(BROUGHT.targets[1], python=newer.sha256))
    new = replace(BROUGHT, artifacts=artifacts, targets=targets)
    assert changes(BROUGHT, new, {}, {}) == [
        Change("python", NEW, "3.13.1", "3.13.2"),
        Change("wheel", PYTHON.filename, f"sha256:{PYTHON.sha256}", f"sha256:{newer.sha256}"),
    ]
    (added, *_) = (each for each in changes(MADE, BROUGHT, {}, {}) if each.kind == "python")
    assert added == Change("python", NEW, "", "3.13.1")

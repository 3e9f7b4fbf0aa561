"""What is shown of bundles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from shipit.archive.compare import Change
from shipit.archive.file import Bundle
from shipit.commands.bundle import Difference, Signature
from shipit.output.bundles import report
from shipit.output.layout import Grid, Line
from unit.archive.test_manifest import BROUGHT, MADE, A


def test_a_bundle_is_shown_with_its_source_and_every_package() -> None:
    parts = list(report.summary(Bundle(Path("x"), A, MADE, "", {}), Signature("", "")))
    lines = [part.text for part in parts if isinstance(part, Line)]
    assert lines == [
        "app 1.0",
        f"  sha256    {A}",
        "  revision  none",
        f"  lock      uv.lock, sha256:{A}",
        "  built by  uv 1",
        "  signed    by nobody",
        "  target    linux-x86_64-gnu2.36-cp311: 1 package",
    ]
    (grid,) = (part for part in parts if isinstance(part, Grid))
    assert [row[:2] for row in grid.rows] == [["app", "1.0"], ["dep", "1.0"], ["uv", "1.0"]]


def test_what_was_built_is_shown_with_its_source() -> None:
    artifacts = {
        name: replace(each, source="sha256:ab" if each.filename.startswith("dep") else "")
        for name, each in MADE.artifacts.items()
    }
    made = Bundle(Path("x"), A, replace(MADE, artifacts=artifacts), "", {})
    lines = [p.text for p in report.summary(made, Signature("", "")) if isinstance(p, Line)]
    assert [line for line in lines if line.startswith("  built  ")] == [
        "  built     dep-1.0-py3-none-any.whl from sha256:ab"
    ]


def test_a_name_is_shown_only_if_it_was_verified() -> None:
    key = "ED25519 SHA256:abc"
    unknown = report.signed(Signature(key, ""))
    assert unknown == Line(f"  signed    with {key}; signer unknown (check with --signers FILE)")
    assert report.signed(Signature("", "")) == Line("  signed    by nobody")
    assert report.signed(Signature("", "", "no")) == Line("  signed    unknown: no")
    assert report.signed(Signature(key, "al")) == Line(f"  signed    by al, with {key}", "good")


def test_each_change_is_a_line_with_a_sign() -> None:
    changes = [
        Change("package", "a", "1", "2"),
        Change("package", "b", "", "1"),
        Change("file", "c.py", "sha256=x", ""),
    ]
    shown = list(report.difference(Difference(changes, ["abc a commit"])))
    assert [part.text for part in shown if isinstance(part, Line)] == [
        "~ package a 1 -> 2",
        "+ package b 1",
        "- file c.py",
        "  abc a commit",
    ]
    assert list(report.difference(Difference([]))) == [Line("no difference")]


def test_a_python_is_shown_with_its_target_and_its_size() -> None:
    parts = list(report.summary(Bundle(Path("x"), A, BROUGHT, "", {}), Signature("", "")))
    lines = [part.text for part in parts if isinstance(part, Line)]
    assert lines[-1] == "  target    linux-x86_64-gnu2.17-cp313: 1 package, Python 3.13.1"
    (grid,) = (part for part in parts if isinstance(part, Grid))
    assert ["python", "3.13.1", "0.00 MB", "cpython-3.13.1.tar.gz"] in grid.rows

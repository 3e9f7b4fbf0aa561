"""What is shown of bundles."""

from __future__ import annotations

from pathlib import Path

from shipit.archive.compare import Change
from shipit.archive.file import Bundle
from shipit.commands.bundle import Difference
from shipit.output.bundles import report
from shipit.output.layout import Grid, Line
from unit.archive.test_manifest import MADE, A


def test_a_bundle_is_shown_with_its_source_and_every_package() -> None:
    parts = list(report.summary(Bundle(Path("x"), A, MADE, "", {})))
    lines = [part.text for part in parts if isinstance(part, Line)]
    assert lines == [
        "app 1.0",
        f"  sha256    {A}",
        "  revision  none",
        f"  lock      uv.lock, sha256:{A}",
        "  built by  uv 1",
        "  target    linux-x86_64-gnu2.36-cp311: 1 package",
    ]
    (grid,) = (part for part in parts if isinstance(part, Grid))
    assert [row[:2] for row in grid.rows] == [["app", "1.0"], ["dep", "1.0"], ["uv", "1.0"]]


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

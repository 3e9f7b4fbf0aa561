"""The commands that make bundles and look into them."""

# ruff: noqa: PLC0415 - late imports keep help and completion fast

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from shipit.cli.group import command
from shipit.cli.parameters import FILE, FORKS, ONE_BUNDLE, TARGETS, TWO_BUNDLES
from shipit.output.layout import Line

if TYPE_CHECKING:
    from shipit.cli.runner import Invocation
    from shipit.playbook.project import PinnedFile


@command(
    *TARGETS,
    FORKS,
    click.Option(
        ["--target"],
        multiple=True,
        metavar="NAME",
        help="A kind of host such as linux-x86_64-gnu2.36-cp311; may be repeated. Default: those "
        "of the playbook's hosts, which are asked.",
    ),
    click.Option(
        ["-o", "--out"],
        type=FILE,
        default=Path("dist"),
        show_default=True,
        help="The folder to write to.",
    ),
    example="  shipit build playbooks/prod.yaml\n"
    "  shipit build playbooks/prod.yaml --target linux-x86_64-gnu2.31-cp311",
)
def build(invocation: Invocation, *, target: tuple[str, ...], out: Path) -> int:
    """Build a bundle: one file with the app and all wheels for its hosts, to deploy anywhere.

    The playbook names a `project`. The same source and lock make the same bytes. Before it is
    written, it is installed and imported on this machine, if its platform is that of a target.
    `shipit deploy --bundle FILE` ships it.
    """
    from shipit.commands import bundle as use_case

    run, output = invocation.run_options(), invocation.output
    paths = [str(path) for path in use_case.build(run, output.quiet, target, out)]
    output.answer("build", 0, [Line(path) for path in paths], bundles=paths)
    return 0


@command(
    *ONE_BUNDLE,
    click.Option(["--sbom"], is_flag=True, help="Print its bill of materials (CycloneDX)."),
    example="  shipit inspect dist/demoapp-1.4.0-linux-x86_64-gnu2.36-cp311.shipit",
)
def inspect(invocation: Invocation, *, bundle: PinnedFile, sbom: bool) -> int:
    """Show what a bundle contains: its source, its lock, its targets and every package."""
    from shipit.commands import bundle as use_case
    from shipit.output.bundles import report

    found = use_case.read(bundle)
    lines = [Line(text) for text in found.sbom.splitlines()]
    parts = lines if sbom else list(report.summary(found))
    invocation.output.answer("inspect", 0, parts, bundle=use_case.facts(found))
    return 0


@command(*ONE_BUNDLE, example="  shipit verify 'demoapp.shipit#sha256=9f86d081...'")
def verify(invocation: Invocation, *, bundle: PinnedFile) -> int:
    """Check that a bundle is whole: every byte is what its contents make. Exits with 2 if not."""
    from shipit.commands import bundle as use_case

    found = use_case.read(bundle)
    text = f"{found.path}: whole, sha256:{found.sha256}"
    invocation.output.answer("verify", 0, [Line(text, "good")], sha256=found.sha256)
    return 0


@command(*TWO_BUNDLES, example="  shipit diff dist/old.shipit dist/new.shipit")
def diff(invocation: Invocation, *, old: PinnedFile, new: PinnedFile) -> int:
    """Show what differs between two bundles: packages, the app's files, targets, commits."""
    from shipit.commands import bundle as use_case
    from shipit.output.bundles import report

    found = use_case.diff(use_case.read(old), use_case.read(new))
    data = {"changes": found.changes, "commits": found.commits}
    invocation.output.answer("diff", 0, list(report.difference(found)), **data)
    return 0

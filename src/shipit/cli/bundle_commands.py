"""The commands that make bundles and look into them."""

# ruff: noqa: PLC0415 - late imports keep help and completion fast

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from shipit.cli.group import command
from shipit.cli.parameters import (
    BUILDER,
    FILE,
    FORKS,
    ONE_BUNDLE,
    ONE_FILE,
    SIGNERS,
    TARGETS,
    TWO_BUNDLES,
)
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
    BUILDER,
    click.Option(
        ["--sign"], type=FILE, metavar="KEY", help="Sign it with this SSH key, as `sign` does."
    ),
    example="  shipit build playbooks/prod.yaml\n"
    "  shipit build playbooks/prod.yaml --target linux-x86_64-gnu2.31-cp311",
)
def build(invocation: Invocation, *, target: tuple[str, ...], out: Path, sign: Path | None) -> int:
    """Build a bundle: one file with the app and all wheels for its hosts, to deploy anywhere.

    The playbook names a `project`. The same source and lock make the same bytes. Before it is
    written, it is installed and imported on this machine, if its platform is that of a target.
    `shipit deploy --bundle FILE` ships it.
    """
    from shipit.commands import bundle as use_case

    run, output = invocation.run_options(), invocation.output
    made = use_case.build(run, output.quiet, target, out)
    signatures = [str(use_case.sign(path, sign)) for path in made] if sign else []
    paths = [str(path) for path in made]
    lines = [Line(path) for path in (*paths, *signatures)]
    output.answer("build", 0, lines, bundles=paths, signatures=signatures)
    return 0


@command(
    *ONE_FILE,
    click.Option(
        ["--key"],
        type=FILE,
        metavar="FILE",
        help="An SSH key: a private one, or a public one whose private half is in the ssh agent. "
        "Default: the SSH key with which git signs.",
    ),
    example="  shipit sign dist/demoapp.shipit --key ~/.ssh/id_ed25519\n"
    "  shipit sign dist/demoapp.shipit --key ~/.ssh/release.pub",
)
def sign(invocation: Invocation, *, bundle: PinnedFile, key: Path | None) -> int:
    """Sign a bundle with an SSH key: in a file, in the ssh agent or on a FIDO token.

    Writes BUNDLE.sig beside it, by ssh-keygen -Y sign -n shipit. Hosts with a file
    /etc/shipit/allowed_signers take only bundles that one of its keys has signed.
    """
    from shipit.commands import bundle as use_case

    path = str(use_case.sign(use_case.read(bundle).path, key))
    invocation.output.answer("sign", 0, [Line(path)], signature=path)
    return 0


@command(
    *ONE_BUNDLE,
    SIGNERS,
    click.Option(["--sbom"], is_flag=True, help="Print its bill of materials (CycloneDX)."),
    example="  shipit inspect dist/demoapp-1.4.0-linux-x86_64-gnu2.36-cp311.shipit",
)
def inspect(invocation: Invocation, *, bundle: PinnedFile, signers: Path | None, sbom: bool) -> int:
    """Show what a bundle contains: its source, its lock, its targets and every package."""
    from shipit.commands import bundle as use_case
    from shipit.output.bundles import report

    found = use_case.read(bundle, invocation.output.quiet)
    lines = [Line(text) for text in found.sbom.splitlines()]
    by = use_case.signed_by(found, signers)
    parts = lines if sbom else list(report.summary(found, by))
    invocation.output.answer("inspect", 0, parts, bundle=use_case.facts(found), signed=vars(by))
    return 0


@command(
    *ONE_BUNDLE,
    SIGNERS,
    example="  shipit verify 'demoapp.shipit#sha256=9f86d081...'\n"
    "  shipit verify demoapp.shipit --signers allowed_signers",
)
def verify(invocation: Invocation, *, bundle: PinnedFile, signers: Path | None) -> int:
    """Check that a bundle is whole: every byte is what its contents make. Exits with 2 if not.

    With --signers, also who has signed it.
    """
    from shipit.commands import bundle as use_case
    from shipit.output.bundles import report

    found = use_case.read(bundle, invocation.output.quiet)
    by = use_case.signed_by(found, signers)
    parts = [Line(f"{found.name}: whole, sha256:{found.sha256}", "good"), report.signed(by)]
    data = {"sha256": found.sha256, "signed": vars(by)}
    invocation.output.answer("verify", 0, parts, **data)
    return 0


@command(*TWO_BUNDLES, example="  shipit diff dist/old.shipit dist/new.shipit")
def diff(invocation: Invocation, *, old: PinnedFile, new: PinnedFile) -> int:
    """Show what differs between two bundles: packages, the app's files, targets, commits."""
    from shipit.commands import bundle as use_case
    from shipit.output.bundles import report

    emit = invocation.output.quiet
    found = use_case.diff(use_case.read(old, emit), use_case.read(new, emit))
    data = {"changes": found.changes, "commits": found.commits}
    invocation.output.answer("diff", 0, list(report.difference(found)), **data)
    return 0

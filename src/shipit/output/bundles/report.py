"""Lay out what a bundle is, and how two differ. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shipit.archive import compare
from shipit.output.layout import Grid, Line
from shipit.output.messages import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shipit.archive.file import Bundle
    from shipit.commands.bundle import Difference, Signature
    from shipit.output.layout import Part

_SIGNS = {(True, False): "+", (False, True): "-"}  # whether there is no old one, no new one
_STYLES = {"+": "good", "-": "bad"}


def summary(bundle: Bundle, by: Signature) -> Iterator[Part]:
    """Yield what a bundle contains: its app, its source, and the packages for each target."""
    made = bundle.manifest
    yield Line(f"{made.name} {made.version}", "strong")
    yield Line(f"  sha256    {bundle.sha256}")
    yield Line(f"  revision  {compare.revision(made)}{f' ({made.commit})' if made.commit else ''}")
    yield Line(f"  lock      {made.lock}, sha256:{made.lock_sha256}")
    with_ = ", ".join(f"{name} {version}" for name, version in sorted(made.built_with.items()))
    yield Line(f"  built by  {with_}")
    yield signed(by)
    for each in made.targets:
        python = f", Python {made.artifacts[each.python].python}" if each.python else ""
        yield Line(f"  target    {each.target}: {count(len(each.wheels), 'package')}{python}")
    for artifact in made.artifacts.values():
        if artifact.source:
            yield Line(f"  built     {artifact.filename} from {artifact.source}")
    rows = [
        [*compare.name_and_version(artifact), f"{artifact.size / 1e6:.2f} MB", artifact.filename]
        for artifact in sorted(made.artifacts.values(), key=lambda each: each.filename)
    ]
    yield Grid(["package", "version", "size", "file"], rows)


def signed(by: Signature) -> Line:
    """Return who has signed a bundle, and whether that is known."""
    if by.unknown:
        return Line(f"  signed    unknown: {by.unknown}")
    if not by.key:
        return Line("  signed    by nobody")
    if not by.name:
        return Line(f"  signed    with {by.key}; signer unknown (check with --signers FILE)")
    return Line(f"  signed    by {by.name}, with {by.key}", "good")


def difference(found: Difference) -> Iterator[Part]:
    """Yield each change on a line, then the commits between the two."""
    if not found.changes:
        yield Line("no difference")
    for change in found.changes:
        sign = _SIGNS.get((not change.before, not change.after), "~")
        versions = " -> ".join(filter(None, (change.before, change.after)))
        shown = "" if change.kind in ("file", "env") else versions
        text = " ".join(filter(None, (change.kind, change.name, shown)))
        yield Line(f"{sign} {text}", _STYLES.get(sign, ""))
    for commit in found.commits:
        yield Line(f"  {commit}", "quiet")

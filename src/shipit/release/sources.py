"""Where the wheels of a release come from: a bundle, a project, or a folder of wheels."""

# ruff: noqa: PLC0415 - late imports: only what a playbook names is loaded

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shipit.bundle import select
from shipit.errors import InputError, Mistake, Place
from shipit.events import ignore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from shipit.bundle.select import Sources
    from shipit.events import Emit
    from shipit.playbook.models import Deployment
    from shipit.playbook.project import PinnedFile, Project


@dataclass(frozen=True)
class Named:
    """What a playbook says about the wheels of a deployment; its rules allow one of three ways."""

    app: str
    project: Project | None
    bundle: PinnedFile | None
    wheel: Path | None
    lock: Path | None
    wheelhouse: Path | None
    signers: Path | None = None

    @classmethod
    def by(cls, wanted: Deployment) -> Named:
        own = (wanted.wheel, wanted.lock, wanted.wheelhouse, wanted.signers)
        return cls(wanted.app, wanted.project, wanted.bundle, *own)


def load(
    named: Named,
    bundle: PinnedFile | None = None,
    note: Callable[[str], None] = lambda _: None,
    emit: Emit = ignore,
) -> Sources:
    """Return the wheels that a deployment may need.

    Args:
        named: the playbook's keys.
        bundle: taken instead of these.
        note: receives what is built or fetched, as that takes time.
        emit: receives how far a download is.

    Raises:
        InputError: with all mistakes in the bundle, or in the project, its lock and the wheels; the
            playbook names signers, and none of them has signed this.
    """
    if pinned := bundle or named.bundle:
        from shipit.archive import remote, signature, sources
        from shipit.project import cache

        store = cache.Cache(cache.default_folder(os.environ))
        found = remote.read(pinned, store, emit)
        if named.signers:
            name = signature.signer(found.path, found.signed, named.signers, found.name)
            note(f"{found.name} is signed by {name}")
        return sources.load(found)
    if named.signers:
        what = "the playbook names `signers`, and what it ships is not a bundle: it is not signed"
        hint = "shipit build PLAYBOOK; shipit sign BUNDLE; shipit deploy PLAYBOOK --bundle BUNDLE"
        raise InputError(Mistake("unsigned", what, Place(str(named.signers)), hint))
    if named.project:
        from shipit.project.sources import load as load_project

        return load_project(named.project, named.app, named.lock, named.wheelhouse, note, emit)
    return select.load(*filter(None, (named.wheel, named.lock, named.wheelhouse)))

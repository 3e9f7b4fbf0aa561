"""Where the wheels of a release come from: a bundle, a project, or a folder of wheels."""

# ruff: noqa: PLC0415 - late imports: only what a playbook names is loaded

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from shipit.bundle import select
from shipit.errors import ErrorCollector, InputError, Mistake, Place
from shipit.events import Noted, ignore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from shipit.bundle.interpreter import Interpreters
    from shipit.bundle.select import Sources
    from shipit.bundle.target import Target
    from shipit.events import Emit
    from shipit.playbook.models import Deployment
    from shipit.playbook.project import PinnedFile, Project, Python
    from shipit.project.building.orders import Builder


@dataclass(frozen=True)
class Named:
    """What a playbook says about the wheels of a deployment; its rules allow one of three ways."""

    app: str
    project: Project | None
    bundle: PinnedFile | None
    wheel: Path | None
    lock: Path | None
    wheelhouse: Path | None
    python: Python
    signers: Path | None = None

    @classmethod
    def by(cls, wanted: Deployment) -> Named:
        own = (wanted.wheel, wanted.lock, wanted.wheelhouse, wanted.python, wanted.signers)
        return cls(wanted.app, wanted.project, wanted.bundle, *own)


def load(
    named: Named,
    bundle: PinnedFile | None = None,
    emit: Emit = ignore,
    builder: Builder | None = None,
    targets: Sequence[Target] = (),
) -> Sources:
    """Return the wheels that a deployment may need.

    Args:
        named: the playbook's keys.
        bundle: taken instead of these.
        emit: receives what is built or fetched, as that takes time, and how far a download is.
        builder: builds what this machine cannot build for the hosts.
        targets: the kinds of hosts, if they are known already.

    Raises:
        InputError: with all mistakes in the bundle, or in the project, its lock, the wheels and
            the Pythons that come with it; the playbook names signers, and none of them has signed
            this.
    """
    if pinned := bundle or named.bundle:
        from shipit.archive import remote, signers, sources
        from shipit.project import cache

        store = cache.Cache(cache.default_folder(os.environ))
        found = remote.read(pinned, store, emit)
        if named.signers:
            name = signers.signer(found, named.signers)
            emit(Noted(f"{found.name} is signed by {name}"))
        return sources.load(found)
    if named.signers:
        what = "the playbook names `signers`, and what it ships is not a bundle: it is not signed"
        hint = "shipit build PLAYBOOK; shipit sign BUNDLE; shipit deploy PLAYBOOK --bundle BUNDLE"
        raise InputError(Mistake("unsigned", what, Place(str(named.signers)), hint))
    errors = ErrorCollector()
    pythons = errors.attempt(_pythons, named.python, lambda text: emit(Noted(text)))
    return errors.result(errors.attempt(_built, named, pythons, emit, builder, targets))


def _pythons(wanted: Python, note: Callable[[str], None]) -> Interpreters | None:
    """Return the interpreters that come with the release; None if the host's are used."""
    if not wanted.is_brought:
        return None
    from shipit.project import interpreters

    return interpreters.load(wanted, note)


def _built(
    named: Named,
    pythons: Interpreters | None,
    emit: Emit,
    builder: Builder | None,
    targets: Sequence[Target],
) -> Sources:
    if named.project:
        from shipit.project.sources import load as load_project

        given = (named.project, named.app, named.lock, named.wheelhouse)
        known = () if pythons or builder else targets
        made = load_project(*given, emit, known).with_builder(builder)
        return replace(made, interpreters=pythons)
    folder = select.load(*filter(None, (named.wheel, named.lock, named.wheelhouse)))
    return replace(folder, interpreters=pythons)

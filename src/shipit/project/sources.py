"""The wheels of a release that is built from a project, for any host."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from shipit.bundle import lockfile
from shipit.bundle.lock import Parts
from shipit.bundle.select import FolderSources
from shipit.bundle.wheelhouse import INSTALLERS, Wheelhouse
from shipit.errors import ErrorCollector, InputError
from shipit.events import Noted, ignore
from shipit.project import app_wheel, cache, revision, source, tree
from shipit.project.cache import open_kept
from shipit.project.dependencies import Fetcher
from shipit.project.fetching.together import aside

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from shipit.bundle.interpreter import Interpreters
    from shipit.bundle.lock import Lock
    from shipit.bundle.select import Bundle
    from shipit.bundle.target import Target
    from shipit.bundle.wheel import Wheel
    from shipit.bundle.wheelhouse import Installer
    from shipit.events import Emit
    from shipit.playbook.project import Project
    from shipit.project.building.orders import Builder
    from shipit.project.source import Source


@dataclass(frozen=True)
class ProjectSources:
    """A project's wheel, and its lock; the wheels of the lock are fetched when a host is known.

    Attributes:
        app: the wheel of the project itself.
        lock: its dependencies.
        fetcher: gets them.
        folder: the one below a release that its services start in.
        source: the project.
        interpreters: those that come with a release.
        fetched: what was fetched for the kinds of hosts that were known before the app's wheel.
    """

    app: Wheel
    lock: Lock
    fetcher: Fetcher
    folder: str
    source: Source
    signed: None = None
    interpreters: Interpreters | None = None
    fetched: Mapping[tuple[Target, Installer], Sequence[Path]] = field(default_factory=dict)
    _known: dict[tuple[Target, Installer], Bundle] = field(default_factory=dict)

    def with_builder(self, builder: Builder | None) -> ProjectSources:
        """Return the same, where a host builds what this machine cannot build for a target."""
        return replace(self, fetcher=replace(self.fetcher, builder=builder))

    def digests(self) -> tuple[str, ...]:
        """Return the sha256 of the app's wheel, and of those in the cache that it may need."""
        names = {*INSTALLERS, *(entry.name for entry in self.lock.entries)}
        return tuple(dict.fromkeys([self.app.sha256, *self.fetcher.store.digests(names)]))

    def programs(self) -> None:
        """Return nothing: the programs are known when the wheels for a host are there."""

    def select(self, target: Target, installer: Installer | None = None) -> Bundle:
        """Fetch and build what one kind of host needs, once.

        Raises:
            InputError: with every wheel that cannot be had for the target.
        """
        tool = installer or self.fetcher.usual_installer()
        if (target, tool) not in self._known:
            self._known[target, tool] = self._select(target, tool)
        return self._known[target, tool]

    def _select(self, target: Target, tool: Installer) -> Bundle:
        wanted = self.lock.wanted(self.app.name, target.markers())
        errors = ErrorCollector()
        app = errors.attempt(self._app_for, target)
        paths = self.fetched.get((target, tool))
        if paths is None:
            paths = errors.attempt(self.fetcher.wheels, wanted, target, tool) or []
        found = [wheel for path in paths if (wheel := errors.attempt(open_kept, path))]
        wheels = errors.result(tuple(found))
        stock = Wheelhouse(self.fetcher.store.folder, wheels, frozenset(), frozenset())
        return FolderSources(app or self.app, self._with_digests(wheels), stock).select(
            target, tool
        )

    def _app_for(self, target: Target) -> Wheel:
        """Return the project's own wheel for a host: that of this machine, if it runs there.

        Raises:
            InputError: it does not, and there is no builder, or it cannot build it.
        """
        if not self.source.is_package:
            return self.app
        path = self.fetcher.of_project(self.app.path, self.source, target)
        return self.app if path == self.app.path else open_kept(path)

    def _with_digests(self, wheels: tuple[Wheel, ...]) -> Lock:
        """Return the lock with the digests of the wheels that were built here."""
        built = {wheel.pin: wheel.sha256 for wheel in wheels}
        entries = (
            replace(entry, digests=frozenset({built[entry.pin]}))
            if entry.sources and entry.pin in built and built[entry.pin] not in entry.digests
            else entry
            for entry in self.lock.entries
        )
        return replace(self.lock, entries=tuple(entries))


def load(
    project: Project,
    app: str,
    lock: Path | None,
    wheelhouse: Path | None,
    emit: Emit = ignore,
    targets: Sequence[Target] = (),
) -> ProjectSources:
    """Read a project, and make its wheel.

    Args:
        project: what the playbook says of it.
        app: the app's name.
        lock: the playbook's, if it names one.
        wheelhouse: where wheels come from instead of an index, if the playbook names one.
        emit: receives what is built or fetched, as that takes time, and how far a download is.
        targets: the kinds of hosts, if they are known: what these need is fetched meanwhile.

    Raises:
        InputError: with all mistakes in the project and its lock; the wheel cannot be built, or
            one that a target needs cannot be had.
    """

    def note(text: str) -> None:
        emit(Noted(text))

    store = cache.Cache(cache.default_folder(os.environ))
    store.prune()
    found = source.read(project.path.resolve(), app, project.package, lock and lock.resolve())
    at = revision.of(found.folder)
    errors = ErrorCollector()
    locked = errors.attempt(lockfile.read, found.lock, Parts(project.extras, project.groups))
    if locked and not found.is_package and not locked.is_graph:
        found = _named_apart(found, locked)
    with aside(partial(app_wheel.make, found, project, at, store, note)) as making:
        where = wheelhouse and wheelhouse.resolve()
        fetcher = Fetcher(locked, at, where, store, note, emit) if locked else None
        # A build may read all that lies in the project: no downloads then, and no credentials.
        if store.folder.resolve().is_relative_to(found.root):
            with suppress(InputError):  # it is reported below
                making()
        fetched = _fetched(fetcher, found.name, targets, errors) if fetcher else {}
        wheel = errors.attempt(making)
    opened = errors.attempt(open_kept, wheel) if wheel else None
    if fetcher is None or opened is None:
        return errors.result(None)
    folder = "files" if found.is_package else f"venv/{tree.FOLDER}"
    made = ProjectSources(opened, fetcher.lock, fetcher, folder, found, fetched=fetched)
    return errors.result(made)


def _fetched(
    fetcher: Fetcher, app: str, targets: Sequence[Target], errors: ErrorCollector
) -> dict[tuple[Target, Installer], Sequence[Path]]:
    """Return what some kinds of hosts need besides the app."""
    found: dict[tuple[Target, Installer], Sequence[Path]] = {}
    for target in targets:
        tool = fetcher.usual_installer()
        wanted = errors.attempt(fetcher.lock.wanted, app, target.markers())
        if wanted is not None:
            found[target, tool] = errors.attempt(fetcher.wheels, wanted, target, tool) or ()
    return found


def _named_apart(found: Source, lock: Lock) -> Source:
    """Return a tree with a name that none of its dependencies has."""
    is_taken = any(entry.name == found.name for entry in lock.entries)
    return replace(found, name=f"{found.name}-project") if is_taken else found

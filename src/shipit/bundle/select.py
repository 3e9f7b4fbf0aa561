"""Choose exactly the wheels that one release needs on one kind of host.

Every wheel in a bundle is in the lock with its sha256 and runs on the target; two need no entry
there: the app wheel, and the installer unless the lock names it. All mistakes of one check are
reported together. Builds and downloads nothing, and never holds a wheel in memory.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from packaging.utils import canonicalize_name
from packaging.version import Version

from shipit.bundle import lockfile
from shipit.bundle.lock import how_to_lock
from shipit.bundle.wheel import Wheel, open_wheel
from shipit.bundle.wheelhouse import (
    INSTALLERS,
    Installer,
    Wheelhouse,
    lacking,
    lacking_anywhere,
    no_hash,
    read,
    with_hint,
    wrong_hash,
    wrong_hashes,
)
from shipit.errors import ErrorCollector, InputError, Mistake, Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from shipit.agent.protocol.manifest import Signed
    from shipit.bundle.interpreter import Interpreter, Interpreters
    from shipit.bundle.lock import Lock, Locked
    from shipit.bundle.target import Target


class Sources(Protocol):
    """Where the wheels of a release come from.

    Attributes:
        folder: the one below a release that its services start in.
        signed: what was signed of a bundle, with the signature.
        interpreters: those that come with the release; None if it is made with one of the host.
    """

    @property
    def interpreters(self) -> Interpreters | None: ...

    @property
    def app(self) -> Wheel: ...

    @property
    def folder(self) -> str: ...

    @property
    def signed(self) -> Signed | None: ...

    def digests(self) -> tuple[str, ...]:
        """Return the sha256 of wheels that a host may have already."""

    def programs(self) -> frozenset[str] | None:
        """Return the programs that are installed into a venv; None if not known for all hosts."""

    def select(self, target: Target, installer: Installer | None = None) -> Bundle:
        """Return the wheels for one target.

        Raises:
            InputError: with every wheel that is missing or does not run on the target.
        """


@dataclass(frozen=True)
class FolderSources:
    """The wheels that a bundle for any host is chosen from; made by `load`."""

    app: Wheel
    lock: Lock
    stock: Wheelhouse
    folder: str = "files"
    signed: None = None
    interpreters: Interpreters | None = None
    _known: dict[tuple[Target, Installer | None], Bundle] = field(
        default_factory=dict, compare=False, repr=False
    )

    def digests(self) -> tuple[str, ...]:
        """Return the sha256 of every wheel that a bundle may contain."""
        return tuple(dict.fromkeys(w.sha256 for w in (self.app, *self.stock.wheels)))

    def programs(self) -> frozenset[str]:
        """Return the programs that the app and the locked wheels install into a venv."""
        locked = {entry.name for entry in self.lock.entries}
        wheels = [wheel for wheel in self.stock.wheels if wheel.name in locked]
        return frozenset().union(*(wheel.programs for wheel in (self.app, *wheels)))

    def select(self, target: Target, installer: Installer | None = None) -> Bundle:
        """Choose the bundle for a target, once; reads no files.

        Raises:
            InputError: with every wheel that is missing or does not run on the target.
        """
        if (target, installer) not in self._known:
            self._known[target, installer] = self._select(target, installer)
        return self._known[target, installer]

    def _select(self, target: Target, installer: Installer | None) -> Bundle:
        errors, choice = ErrorCollector(), _Choice(self, target)
        errors.mistakes += choice.app_misfits()
        chosen: list[Wheel] | None = None
        wanted = errors.attempt(self.lock.wanted, self.app.name, target.markers())
        if wanted is not None:
            chosen = errors.attempt(choice.wheels, wanted)
            errors.mistakes += choice.unmet_requirements(wanted)
        tool = errors.attempt(choice.installer, installer)
        if chosen is None or tool is None:
            return errors.result(None)
        return errors.result(Bundle(self.app, tuple(chosen), tool))


@dataclass(frozen=True)
class Bundle:
    """The wheels of one release for one target; dependencies are sorted by name."""

    app: Wheel
    wheels: tuple[Wheel, ...]
    installer: Wheel
    python: Interpreter | None = None  # that comes with the release

    @property
    def version(self) -> str:
        return self.app.version

    @property
    def digest(self) -> str:
        """Return a sha256 over what gets installed: equal contents have equal digests anywhere.

        The installer is excluded: it makes the venv but is not part of it, and a newer one is no
        reason for a new release. An interpreter is not part of the venv either.
        """
        contents = [f"app {self.app.filename} {self.app.sha256}"]
        contents += [f"wheel {wheel.filename} {wheel.sha256}" for wheel in self.wheels]
        return hashlib.sha256("\n".join(contents).encode()).hexdigest()

    def programs(self) -> frozenset[str]:
        """Return the programs that are installed into the venv."""
        return frozenset().union(*(wheel.programs for wheel in (self.app, *self.wheels)))

    def all(self) -> tuple[Wheel, ...]:
        """Return every wheel that must be on the host, each once."""
        return tuple({w.sha256: w for w in (self.app, *self.wheels, self.installer)}.values())


def load(wheel: Path, lock: Path, wheelhouse: Path) -> FolderSources:
    """Read and check what is the same for all hosts: files, formats, hashes.

    Raises:
        InputError: with all mistakes found.
    """
    errors = ErrorCollector()
    app = errors.attempt(open_wheel, wheel)
    locked = errors.attempt(lockfile.read, lock)
    sources = None
    if not wheelhouse.is_dir():
        hint = f"make it: pip download --only-binary=:all: --no-deps -r {lock} -d {wheelhouse}"
        what = "there is no such folder of wheels"
        errors.mistakes.append(Mistake("missing-wheelhouse", what, Place(str(wheelhouse)), hint))
    elif app and locked:
        others = locked.without(app.name)
        stock = read(wheelhouse, others, errors)
        errors.mistakes += [*wrong_hashes(others, stock), *lacking_anywhere(others, stock)]
        sources = FolderSources(app, locked, stock)
    return errors.result(sources)


def requirements_txt(bundle: Bundle) -> str:
    """Return the bundle, including the app, as requirements with hashes, one on each line."""
    wheels = sorted((bundle.app, *bundle.wheels), key=lambda wheel: wheel.name)
    return "".join(f"{wheel.pin} --hash=sha256:{wheel.sha256}\n" for wheel in wheels)


# --- choosing


class _Choice:
    """The choice for one target; every method is a pure function of sources and target."""

    def __init__(self, sources: FolderSources, target: Target) -> None:
        self.sources = sources
        self.target = target
        tags = target.tags()
        self.ranks = dict(zip(reversed(tags), range(len(tags), 0, -1), strict=True))

    def best(self, wheels: Sequence[Wheel]) -> Wheel | None:
        """Return the wheel that an installer would choose: by its tag, then its build (PEP 427)."""

        def merit(wheel: Wheel) -> tuple[int, tuple[()] | tuple[int, str], str]:
            rank = min(self.ranks[tag] for tag in wheel.tags if tag in self.ranks)
            return -rank, wheel.build, wheel.filename

        fitting = [wheel for wheel in wheels if not wheel.tags.isdisjoint(self.ranks)]
        return max(fitting, key=merit, default=None)

    def wheels(self, wanted: Sequence[Locked]) -> list[Wheel]:
        chosen: list[Wheel] = []
        mistakes: list[Mistake] = []
        bad: list[str] = []
        for entry in wanted:
            wheel = self.best(self.sources.stock.of(entry))
            problem = self._problem(entry, wheel)
            if problem:
                mistakes.append(problem)
                bad += [] if problem.hint else [entry.pin]
            elif wheel:
                chosen.append(wheel)
        if mistakes:
            command = self.target.pip_download(str(self.sources.stock.wheelhouse), *bad)
            raise InputError(*with_hint(mistakes, f"fetch the right ones: {command}"))
        return chosen

    def _problem(self, entry: Locked, wheel: Wheel | None) -> Mistake | None:
        stock = self.sources.stock
        if not entry.digests and not entry.is_own:
            return no_hash(entry)
        if wheel is not None:
            return self._two_versions(entry) or self._needs_other_python(wheel)
        if other := self.best(stock.others_of(entry)):
            return wrong_hash(other, entry, stock)
        present = stock.of(entry)
        return self._misfit(present, entry.place) if present else lacking(entry, stock)

    def _two_versions(self, entry: Locked) -> Mistake | None:
        """Reject several versions of a wheel whose version the lock does not pin."""
        versions = sorted({wheel.version for wheel in self.sources.stock.of(entry)})
        if len(versions) < 2:  # noqa: PLR2004 - a choice
            return None
        what = f"the wheelhouse has {entry.name} in the versions {' and '.join(versions)}"
        hint = "keep only the one that you want; the lock names only its source"
        return Mistake("two-versions", what, entry.place, hint)

    def _misfit(self, wheels: Sequence[Wheel], place: Place) -> Mistake:
        """Explain why none of these wheels of one version runs on the target."""
        code, reason = self.target.misfit({tag for wheel in wheels for tag in wheel.tags})
        names = ", ".join(wheel.filename for wheel in wheels)
        return Mistake(code, f"{names} {reason}; the host has {self.target}", place)

    def _needs_other_python(self, wheel: Wheel) -> Mistake | None:
        if self.target.fits(wheel.requires_python):
            return None
        what = f"{wheel.filename} needs Python {wheel.requires_python}; the host has {self.target}"
        return Mistake("wrong-python", what, Place(str(wheel.path)))

    def app_misfits(self) -> Iterator[Mistake]:
        """Check the app wheel and the whole lock against the target."""
        app, lock = self.sources.app, self.sources.lock
        if not self.best([app]):
            yield self._misfit([app], Place(str(app.path)))
            return
        if problem := self._needs_other_python(app):
            yield problem
        if not self.target.fits(lock.requires_python):
            what = f"the lock is for Python {lock.requires_python}; the host has {self.target}"
            yield Mistake("wrong-python", what, Place(str(lock.path)))

    def unmet_requirements(self, wanted: Sequence[Locked]) -> Iterator[Mistake]:
        """Check that the lock satisfies the app wheel's own requirements on this target."""
        environment = {name: str(value) for name, value in self.target.markers().items()}
        pinned = {entry.name: entry for entry in wanted}
        path = self.sources.lock.path
        for requirement in self.sources.app.requires:
            if requirement.marker and not requirement.marker.evaluate(environment):
                continue
            entry = pinned.get(canonicalize_name(requirement.name))
            if entry and requirement.specifier.contains(entry.version, prereleases=True):
                continue
            has = f"has {entry.version}" if entry else "has none for this host"
            what = f"{self.sources.app.filename} needs {requirement}; the lock {has}"
            place = entry.place if entry else Place(str(path))
            yield Mistake("not-in-lock", what, place, how_to_lock(path))

    def installer(self, wanted: Installer | None) -> Wheel:
        """Return the newest installer that runs on the target; uv before pip by default."""
        for name in [wanted] if wanted else INSTALLERS:
            found = [wheel for wheel in self.sources.stock.wheels if wheel.name == name]
            fitting = [w for w in found if self.best([w]) and self.target.fits(w.requires_python)]
            if fitting:
                newest = max(Version(wheel.version) for wheel in fitting)
                best = self.best([w for w in fitting if Version(w.version) == newest])
                if best:
                    return best
        name = wanted or "uv"
        what = f"the wheelhouse has no wheel of {name} for {self.target}; it makes the venv there"
        command = self.target.pip_download(str(self.sources.stock.wheelhouse), name)
        place = Place(str(self.sources.stock.wheelhouse))
        raise InputError(Mistake("missing-installer", what, place, f"fetch it: {command}"))

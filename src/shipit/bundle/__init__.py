"""Choose exactly the wheels that one release needs on one kind of host.

Promises that every wheel in a bundle is in the lock with its sha256 (the app wheel and the
installer apart, which need no entry), runs on the target, and that all mistakes of a kind of check
are told at once. Builds and downloads nothing, and never holds a wheel in memory.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from shipit.bundle import lockfile
from shipit.bundle.target import Target
from shipit.bundle.wheel import Wheel, open_wheel
from shipit.errors import InputError, Mistake, Place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from packaging.requirements import Requirement

    from shipit.bundle.lockfile import Lock, Locked

__all__ = [
    "Bundle",
    "Installer",
    "Sources",
    "Target",
    "Wheel",
    "load",
    "requirements_txt",
    "select",
]

Installer = Literal["uv", "pip"]
INSTALLERS: tuple[Installer, ...] = ("uv", "pip")  # the preferred one first
_INSTALLER_PINS = tuple(f"{name}==" for name in INSTALLERS)
_SDISTS = (".tar.gz", ".zip")


@dataclass(frozen=True)
class Stock:
    """What a wheelhouse has of a lock, and which installers."""

    wheelhouse: Path
    wheels: tuple[Wheel, ...]
    seen: frozenset[str]  # pins that it has a wheel of, also if that wheel is no good
    sdists: frozenset[str]  # pins that it has the source of

    def of(self, entry: Locked) -> list[Wheel]:
        return [wheel for wheel in self.wheels if wheel.pin == entry.pin]


@dataclass(frozen=True)
class Sources:
    """Everything that a bundle for any host is chosen from; made by `load`."""

    app: Wheel
    lock: Lock
    stock: Stock

    def digests(self) -> tuple[str, ...]:
        """Return the sha256 of every wheel that a bundle may hold."""
        return tuple(dict.fromkeys(w.sha256 for w in (self.app, *self.stock.wheels)))


@dataclass(frozen=True)
class Bundle:
    """The wheels of one release for one target; the dependencies are in order of their names."""

    app: Wheel
    wheels: tuple[Wheel, ...]
    installer: Wheel

    @property
    def version(self) -> str:
        return self.app.version

    @property
    def digest(self) -> str:
        """Return a sha256 over what gets installed: equal contents have equal digests anywhere.

        The installer is left out: it makes the venv but is no part of it, and a newer one is no
        reason to ship every host again.
        """
        contents = [f"app {self.app.filename} {self.app.sha256}"]
        contents += [f"wheel {wheel.filename} {wheel.sha256}" for wheel in self.wheels]
        return hashlib.sha256("\n".join(contents).encode()).hexdigest()

    @property
    def size(self) -> int:
        """Return the bytes of all wheels."""
        return sum(wheel.size for wheel in self.all())

    def all(self) -> tuple[Wheel, ...]:
        """Return every wheel that has to be on the host, each once."""
        return tuple({w.sha256: w for w in (self.app, *self.wheels, self.installer)}.values())


def load(wheel: Path, lock: Path, wheelhouse: Path) -> Sources:
    """Read and check what needs no host: files, formats, hashes. Each wheel is hashed once.

    Raises:
        InputError: with all mistakes found.
    """
    mistakes: list[Mistake] = []
    app: Wheel | None = None
    locked: Lock | None = None
    with _Noting(mistakes):
        app = open_wheel(wheel)
    with _Noting(mistakes):
        locked = lockfile.read(lock)
    if not wheelhouse.is_dir():
        hint = f"make it: pip download --only-binary=:all: --no-deps -r {lock} -d {wheelhouse}"
        what = "there is no such folder of wheels"
        mistakes.append(Mistake("missing-wheelhouse", what, Place(str(wheelhouse)), hint))
    elif app is not None and locked is not None:
        stock = _take_stock(wheelhouse, locked.without(app.name), mistakes)
        mistakes += _lacking_anywhere(locked.without(app.name), stock)
        if not mistakes:
            return Sources(app, locked, stock)
    raise InputError(*mistakes)


def select(sources: Sources, target: Target, installer: Installer | None = None) -> Bundle:
    """Choose the bundle for a target; reads no files.

    Raises:
        InputError: with every wheel that is missing or does not run on the target.
    """
    mistakes: list[Mistake] = []
    chosen: list[Wheel] = []
    tool: Wheel | None = None
    choice = _Choice(sources, target)
    mistakes += choice.app_misfits()
    with _Noting(mistakes):
        wanted = sources.lock.wanted(sources.app.name, target.markers())
        with _Noting(mistakes):
            chosen = choice.wheels(wanted)
        mistakes += choice.unmet_requirements(wanted)
    with _Noting(mistakes):
        tool = choice.installer(installer)
    if mistakes or tool is None:
        raise InputError(*mistakes)
    return Bundle(sources.app, tuple(chosen), tool)


def requirements_txt(bundle: Bundle) -> str:
    """Return the bundle as exact requirements with hashes, the app included, one on each line."""
    wheels = sorted((bundle.app, *bundle.wheels), key=lambda wheel: wheel.name)
    return "".join(f"{wheel.pin} --hash=sha256:{wheel.sha256}\n" for wheel in wheels)


class _Noting:
    """Keep the mistakes of a check and go on with the next one.

    A class, since the type checker takes contextlib's generators for ones that swallow nothing.
    """

    def __init__(self, mistakes: list[Mistake]) -> None:
        self.mistakes = mistakes

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, InputError):
            self.mistakes += error.mistakes
            return True
        return False


# --- reading


def _take_stock(wheelhouse: Path, lock: Lock, mistakes: list[Mistake]) -> Stock:
    """Read the wheels that the lock names and the installers; other files are of no interest."""
    entries = {entry.pin: entry for entry in lock.entries}
    wheels: list[Wheel] = []
    seen: set[str] = set()
    sdists: set[str] = set()
    for path in sorted(wheelhouse.iterdir()):
        if path.name.endswith(_SDISTS):
            sdists |= _sdist_pin(path.name)
        elif path.suffix == ".whl":
            with _Noting(mistakes):
                pin = _pin(path)
                seen.add(pin)
                wheels += _locked_wheel(path, pin, entries)
    return Stock(wheelhouse, tuple(wheels), frozenset(seen), frozenset(sdists))


def _pin(path: Path) -> str:
    try:
        name, version, _, _ = parse_wheel_filename(path.name)
    except InvalidWheelFilename:
        return open_wheel(path).pin  # which says what is wrong with it
    return f"{name}=={version}"


def _sdist_pin(filename: str) -> set[str]:
    try:
        name, version = parse_sdist_filename(filename)
    except InvalidSdistFilename:
        return set()
    return {f"{name}=={version}"}


def _locked_wheel(path: Path, pin: str, entries: Mapping[str, Locked]) -> list[Wheel]:
    entry = entries.get(pin)
    if entry is None:
        return [open_wheel(path)] if pin.startswith(_INSTALLER_PINS) else []
    wheel = open_wheel(path)
    if entry.digests and wheel.sha256 not in entry.digests:
        raise InputError(_wrong_hash(wheel, entry))
    return [wheel]


def _wrong_hash(wheel: Wheel, entry: Locked) -> Mistake:
    first, *others = sorted(entry.digests)
    expected = f"one of {len(others) + 1} hashes" if others else f"sha256:{first}"
    what = f"{wheel.filename} has sha256:{wheel.sha256}; expected {expected} ({entry.place})"
    hint = "fetch it again; if the change is wanted, lock it anew"
    return Mistake("wrong-hash", what, Place(str(wheel.path)), hint)


def _lacking_anywhere(lock: Lock, stock: Stock) -> list[Mistake]:
    """Return a mistake for each entry that every host wants and that the wheelhouse has not."""
    lacking = [entry for entry in lock.unconditional() if entry.pin not in stock.seen]
    pins = " ".join(entry.pin for entry in lacking)
    hint = (
        "fetch what is missing, for the hosts' Python and platform (--python-version, --platform):"
        f" pip download --only-binary=:all: --no-deps -d {stock.wheelhouse} {pins}"
    )
    return _with_hint([_lacking(entry, stock) for entry in lacking], hint)


def _lacking(entry: Locked, stock: Stock) -> Mistake:
    if entry.pin in stock.sdists:
        what = f"of {entry.pin} the wheelhouse has only the source; hosts build nothing"
        return Mistake("only-sdist", what, entry.place)
    what = f"{entry.pin} is locked, but {stock.wheelhouse} has no wheel of it"
    return Mistake("missing-wheel", what, entry.place)


def _with_hint(mistakes: list[Mistake], hint: str) -> list[Mistake]:
    """Tell one remedy once, after the last of the mistakes that it mends."""
    if not mistakes:
        return []
    *others, last = mistakes
    return [*others, Mistake(last.code, last.what, last.place, hint)]


# --- choosing


class _Choice:
    """The decisions for one target; every method is a function of the sources and the target."""

    def __init__(self, sources: Sources, target: Target) -> None:
        self.sources = sources
        self.target = target
        tags = target.tags()
        self.ranks = dict(zip(reversed(tags), range(len(tags), 0, -1), strict=True))

    def best(self, wheels: Sequence[Wheel]) -> Wheel | None:
        """Return the wheel with the best tag, as an installer would choose it."""
        ranked = [
            (min(self.ranks[tag] for tag in wheel.tags if tag in self.ranks), wheel.filename, wheel)
            for wheel in wheels
            if not wheel.tags.isdisjoint(self.ranks)
        ]
        return min(ranked, key=lambda item: item[:2])[2] if ranked else None

    def wheels(self, wanted: Sequence[Locked]) -> list[Wheel]:
        chosen: list[Wheel] = []
        mistakes: list[Mistake] = []
        bad: list[str] = []
        for entry in wanted:
            wheel = self.best(self.sources.stock.of(entry))
            problem = self._problem(entry, wheel)
            if problem:
                mistakes.append(problem)
                bad.append(entry.pin)
            elif wheel:
                chosen.append(wheel)
        if mistakes:
            command = self.target.pip_download(str(self.sources.stock.wheelhouse), *bad)
            raise InputError(*_with_hint(mistakes, f"get what fits: {command}"))
        return chosen

    def _problem(self, entry: Locked, wheel: Wheel | None) -> Mistake | None:
        if not entry.digests:
            what = f"{entry.name} has no sha256 hash of a wheel in the lock"
            return Mistake("no-hash", what, entry.place)
        if wheel is None:
            others = self.sources.stock.of(entry)
            return (
                self._misfit(others, entry.place) if others else _lacking(entry, self.sources.stock)
            )
        return self._needs_other_python(wheel)

    def _misfit(self, wheels: Sequence[Wheel], place: Place) -> Mistake:
        """Say why none of these wheels of one version runs on the target."""
        code, reason = self.target.misfit({tag for wheel in wheels for tag in wheel.tags})
        names = ", ".join(wheel.filename for wheel in wheels)
        return Mistake(code, f"{names} {reason}; the host has {self.target}", place)

    def _needs_other_python(self, wheel: Wheel) -> Mistake | None:
        if self.target.fits(wheel.requires_python):
            return None
        what = f"{wheel.filename} needs Python {wheel.requires_python}; the host has {self.target}"
        return Mistake("wrong-python", what, Place(str(wheel.path)))

    def app_misfits(self) -> list[Mistake]:
        """Check the app wheel and the whole lock against the target."""
        app, lock = self.sources.app, self.sources.lock
        if not self.best([app]):
            return [self._misfit([app], Place(str(app.path)))]
        problem = self._needs_other_python(app)
        mistakes = [problem] if problem else []
        if not self.target.fits(lock.requires_python):
            what = f"the lock is for Python {lock.requires_python}; the host has {self.target}"
            mistakes.append(Mistake("wrong-python", what, Place(str(lock.path))))
        return mistakes

    def unmet_requirements(self, wanted: Sequence[Locked]) -> list[Mistake]:
        """Check that the lock satisfies what the app wheel itself asks for on this target."""
        environment = {name: str(value) for name, value in self.target.markers().items()}
        pinned = {entry.name: entry for entry in wanted}
        mistakes = []
        for requirement in self.sources.app.requires:
            if requirement.marker and not requirement.marker.evaluate(environment):
                continue
            entry = pinned.get(canonicalize_name(requirement.name))
            if entry is None or not requirement.specifier.contains(entry.version, prereleases=True):
                mistakes.append(self._unmet(requirement, entry))
        return mistakes

    def _unmet(self, requirement: Requirement, entry: Locked | None) -> Mistake:
        has = f"has {entry.version}" if entry else "has none for this host"
        what = f"{self.sources.app.filename} needs {requirement}; the lock {has}"
        path = self.sources.lock.path
        place = entry.place if entry else Place(str(path))
        return Mistake("not-in-lock", what, place, lockfile.HOW_TO_LOCK.format(path.name))

    def installer(self, wanted: Installer | None) -> Wheel:
        """Return the newest installer that runs on the target: the wanted one, or uv before pip."""
        for name in [wanted] if wanted else INSTALLERS:
            found = [wheel for wheel in self.sources.stock.wheels if wheel.name == name]
            fitting = [wheel for wheel in found if self.best([wheel])]
            if fitting:
                newest = max(Version(wheel.version) for wheel in fitting)
                best = self.best([w for w in fitting if Version(w.version) == newest])
                if best:
                    return best
        name = wanted or "uv"
        what = f"the wheelhouse has no wheel of {name} for {self.target}; it makes the venv there"
        command = self.target.pip_download(str(self.sources.stock.wheelhouse), name)
        place = Place(str(self.sources.stock.wheelhouse))
        raise InputError(Mistake("missing-installer", what, place, f"get it: {command}"))

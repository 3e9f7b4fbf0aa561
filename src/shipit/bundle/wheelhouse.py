"""The wheels of a wheelhouse that a lock names, and the mistakes for those that are missing.

Only locked wheels and installers are read; each is hashed once.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    parse_sdist_filename,
    parse_wheel_filename,
)

from shipit.bundle.wheel import Wheel, open_wheel
from shipit.errors import ErrorCollector, Mistake, Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from shipit.bundle.lock import Lock, Locked

Installer = Literal["uv", "pip"]
INSTALLERS: tuple[Installer, ...] = ("uv", "pip")  # the preferred one first
_SDISTS = (".tar.gz", ".zip")


@dataclass(frozen=True)
class Wheelhouse:
    """The locked wheels and the installers of a wheelhouse."""

    wheelhouse: Path
    wheels: tuple[Wheel, ...]
    seen: frozenset[str]  # pins that it has a wheel of, valid or not
    sdists: frozenset[str]  # pins that it has an sdist of
    others: tuple[Wheel, ...] = ()  # of a locked version, with a hash that is not in the lock

    def of(self, entry: Locked) -> list[Wheel]:
        return _those_of(entry, self.wheels)

    def others_of(self, entry: Locked) -> list[Wheel]:
        return _those_of(entry, self.others)


def _those_of(entry: Locked, wheels: Sequence[Wheel]) -> list[Wheel]:
    return [wheel for wheel in wheels if entry.is_for(wheel.name, wheel.version)]


def read(wheelhouse: Path, lock: Lock, errors: ErrorCollector) -> Wheelhouse:
    """Read the wheels that the lock names, and the installers; other files are ignored."""
    wheels: list[Wheel] = []
    others: list[Wheel] = []
    free = set(INSTALLERS) - {entry.name for entry in lock.entries}  # a lock may pin its installer
    seen: set[str] = set()
    sdists: set[str] = set()
    for path in sorted(wheelhouse.iterdir()):
        if path.name.endswith(_SDISTS):
            with suppress(InvalidSdistFilename):
                sdists.add("{}=={}".format(*parse_sdist_filename(path.name)))
        if path.suffix != ".whl":
            continue
        try:
            name, version, _, _ = parse_wheel_filename(path.name)
        except InvalidWheelFilename:
            errors.attempt(open_wheel, path)  # it is that mistake
            continue
        seen |= {name, f"{name}=={version}"}
        entries = [entry for entry in lock.entries if entry.is_for(name, str(version))]
        if (entries or name in free) and (wheel := errors.attempt(open_wheel, path)):
            # An entry without a hash is reported later.
            allows = any(not e.digests or wheel.sha256 in e.digests for e in entries)
            (wheels if allows or not entries else others).append(wheel)
    return Wheelhouse(wheelhouse, tuple(wheels), frozenset(seen), frozenset(sdists), tuple(others))


def wrong_hash(wheel: Wheel, entry: Locked, stock: Wheelhouse) -> Mistake:
    first, *more = sorted(entry.digests)
    expected = f"one of {len(more) + 1} hashes" if more else f"sha256:{first}"
    what = f"{wheel.filename} has sha256:{wheel.sha256}; expected {expected} ({entry.place})"
    hint = "fetch it again; if the change is wanted, lock it anew"
    if entry.origin is not None:
        hint = f"fetch it again: {entry.origin.get.format(stock.wheelhouse)}"
    elif entry.pin in stock.sdists:
        what += "; the lock may have the hash of the source, which the wheel was built from"
        hint = f"lock the wheel that was built: add --hash=sha256:{wheel.sha256} to its line"
    return Mistake("wrong-hash", what, Place(str(wheel.path)), hint)


def wrong_hashes(lock: Lock, stock: Wheelhouse) -> Iterator[Mistake]:
    """Yield a mistake for each entry whose wheels all have a wrong hash."""
    for entry in lock.entries:
        others = stock.others_of(entry)
        if others and not stock.of(entry):
            yield wrong_hash(others[0], entry, stock)


def lacking_anywhere(lock: Lock, stock: Wheelhouse) -> list[Mistake]:
    """Return a mistake for each missing entry that every host needs."""
    missing = [entry for entry in lock.unconditional() if entry.pin not in stock.seen]
    pins = " ".join(entry.pin for entry in missing if entry.origin is None)
    hint = (
        "fetch what is missing, for the hosts' Python and platform (--python-version, --platform):"
        f" pip download --only-binary=:all: --no-deps -d {stock.wheelhouse} {pins}"
    )
    return with_hint([lacking(entry, stock) for entry in missing], hint)


def lacking(entry: Locked, stock: Wheelhouse) -> Mistake:
    if entry.origin is not None:
        what = f"{entry.name} is locked to {entry.origin.what}; {stock.wheelhouse} has no wheel"
        hint = f"no index has it: {entry.origin.get.format(stock.wheelhouse)}"
        return Mistake("missing-wheel", f"{what} of it", entry.place, hint)
    if entry.pin in stock.sdists:
        what = f"of {entry.pin} the wheelhouse has only the source; hosts build nothing"
        return Mistake("only-sdist", what, entry.place)
    what = f"{entry.pin} is locked, but {stock.wheelhouse} has no wheel of it"
    return Mistake("missing-wheel", what, entry.place)


def with_hint(mistakes: list[Mistake], hint: str) -> list[Mistake]:
    """Add a hint once: to the last of the mistakes without one."""
    bare = [index for index, mistake in enumerate(mistakes) if not mistake.hint]
    if not bare:
        return mistakes
    last = bare[-1]
    return [*mistakes[:last], replace(mistakes[last], hint=hint), *mistakes[last + 1 :]]


def no_hash(entry: Locked) -> Mistake:
    what = f"{entry.name} has no sha256 hash of a wheel in the lock"
    if not entry.sources:
        return Mistake("no-hash", what, entry.place)
    build = f"pip wheel --no-deps {entry.pin}" if entry.origin is None else entry.origin.get
    hint = (
        f"build its wheel once ({build.format('wheels/')}), and lock that: export the lock as"
        f" requirements with hashes, and write {entry.pin} --hash=sha256:... of the wheel"
    )
    return Mistake(
        "no-hash", f"{what}, only that of its source: hosts build nothing", entry.place, hint
    )

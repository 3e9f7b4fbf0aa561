"""Whether a wheel that was built on some machine runs on a host."""

from __future__ import annotations

import platform
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from shipit.bundle.wheel import DAMAGED
from shipit.errors import InputError, Mistake

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from shipit.bundle.target import Target
    from shipit.errors import Place

_GB = 1024**3
LARGEST = 8 * _GB  # bytes of an unpacked wheel


@dataclass(frozen=True)
class Part:
    """A part of a release that has to be built.

    Attributes:
        name: normalized.
        pin: what it is called in errors: fast==1.0.
        place: where the lock, or the playbook, names it.
        key: all that its wheel depends on.
        archive: puts its source into a workspace, as one file.
    """

    name: str
    pin: str
    place: Place
    key: tuple[object, ...] = ()
    archive: Callable[[Path], Path] = field(repr=False, default=lambda work: work)


@dataclass(frozen=True)
class Machine:
    """Where a wheel was built, and the libc that its compiled parts may need."""

    name: str
    libc: tuple[str, int, int]

    @classmethod
    def this(cls) -> Machine:
        family, number = platform.libc_ver()
        parts = [int(part) for part in number.split(".")[:2] if part.isdecimal()]
        return cls("this machine", (family, parts[0], parts[1]) if parts[1:] else ("", 0, 0))


def fitting(wheel: Path, part: Part, target: Target, on: Machine | None = None) -> Path:
    """Return a wheel that was built on this machine, or on another one, if it runs on a target.

    Raises:
        InputError: it has compiled parts, and the target has another Python, processor or libc.
    """
    on = on or Machine.this()
    tags = parse_wheel_filename(wheel.name)[3]
    code, reason = target.misfit(tags) if tags.isdisjoint(target.tags()) else ("", "")
    family, major, minor = on.libc
    is_bare = any(tag.platform.startswith("linux_") for tag in tags)
    is_older = family == target.libc[0] and (major, minor) <= target.libc[1:]
    if not code and is_bare and not is_older:
        code, reason = "libc-too-new", f"is for {family or 'another libc'} {major}.{minor}"
    if code:
        what = f"{part.pin} has compiled parts: built on {on.name} it {reason}; the host has"
        hint = "build it on a host of this kind: --builder HOST; or lock a version with a wheel"
        raise InputError(Mistake(code, f"{what} {target}", part.place, hint))
    return wheel


def refuse_another(wheel: Path, part: Part, builder: str) -> None:
    """Refuse what a builder has sent, if it is a wheel of something else, or would fill the disk.

    Raises:
        InputError: builder-failed.
    """
    asked = f"{builder} was asked for a wheel of {part.pin}"
    what = ""
    try:
        name = str(parse_wheel_filename(wheel.name)[0])
        with zipfile.ZipFile(wheel) as archive:
            unpacked = sum(each.file_size for each in archive.infolist())
    except (InvalidWheelFilename, *DAMAGED):
        what = f"{asked}, and sent {wheel.name}, which is no wheel"
    else:
        if name != part.name:
            what = f"{asked}, and sent a wheel of {name}"
        elif unpacked > LARGEST:
            size = f"the wheel unpacks to {-(-unpacked // _GB)} GB"
            what = f"{asked}: {size}; at most {LARGEST // _GB} GB are accepted"
    if what:
        hint = "do not use this host as a builder until you know why"
        raise InputError(Mistake("builder-failed", what, part.place, hint))

"""Read the archive of a Python that comes with a release: what it is, and for which hosts.

What it is follows from its content, not from its name: the program's own header, and the header
file that states Python's version. Unpacks nothing.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from shipit.agent.protocol.rules.archives import PROGRAM, Listing, UnsafeArchive
from shipit.bundle import elf
from shipit.bundle.target import Target
from shipit.errors import InputError, Mistake, Place

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_HEADER = re.compile(r"include/python3\.\d+/patchlevel\.h")
_STATED = re.compile(rb'#define\s+PY_VERSION\s+"(3\.\d+\.\d+)[^"]*"')
_LONGEST = 1 << 20  # bytes of that header
FILE = re.compile(r"[A-Za-z0-9_.+-]{1,200}\.tar\.gz")
_HINT = (
    "take one of python-build-standalone: cpython-...-unknown-linux-gnu-install_only.tar.gz; or"
    " make one with one folder that has bin/, lib/ and include/"
)
Libc = tuple[str, int, int]  # as in Target


@dataclass(frozen=True)
class Interpreter:
    """An archive of CPython on this machine.

    Attributes:
        size: of the archive, in bytes.
        version: with its patch, such as 3.13.1.
        machine, libc: the hosts that it is for; the libc is glibc or musl.
        program: its path in the archive, below the top folder.
        entries, unpacked: how many files, folders and links it has, and how many bytes.
    """

    path: Path
    sha256: str
    size: int
    version: str
    machine: str
    libc: str
    program: str
    entries: int
    unpacked: int

    @property
    def filename(self) -> str:
        """The file's name, or one that says the same if that could not be sent as it is."""
        usual = f"cpython-{self.version}-{self.machine}-linux-{self.libc}.tar.gz"
        return self.path.name if FILE.fullmatch(self.path.name) else usual

    def target(self, libc: Libc) -> Target:
        """Return what decides which wheels run with it on a host with this C library."""
        major, minor, _ = self.version.split(".")
        return Target(
            python=(int(major), int(minor)),
            implementation="cpython",
            machine=self.machine,
            libc=libc,
            full_version=self.version,
        )

    def is_for(self, machine: str, libc: Libc) -> bool:
        return (self.machine, self.libc) == (machine, libc[0])


class Interpreters(Protocol):
    """Where the interpreters of a release come from."""

    def digests(self) -> tuple[str, ...]:
        """Return the sha256 of archives that a host may have already."""

    def best(self, machine: str, libc: Libc, python: tuple[int, int] | None = None) -> Interpreter:
        """Return the newest for a kind of host, of a certain Python if one is given.

        Raises:
            InputError: there is none.
        """


def open_archive(path: Path, sha256: str = "") -> Interpreter:
    """Read an archive, streaming.

    Args:
        path: the file.
        sha256: its digest, if that has just been verified.

    Raises:
        InputError: it is missing, unsafe, or has no Python that can be used (not-an-interpreter).
    """
    place = Place(str(path))
    try:
        if not sha256:
            with path.open("rb") as stream:
                sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        with tarfile.open(path, "r|gz") as archive:
            read = _read(archive)
    except (UnsafeArchive, ValueError, OSError, tarfile.TarError, EOFError, zlib.error) as error:
        what = f"{path.name} is no archive of a relocatable Python: {error}"
        raise InputError(Mistake("not-an-interpreter", what, place, _HINT)) from error
    return Interpreter(path, sha256, path.stat().st_size, *read)


def _read(archive: tarfile.TarFile) -> tuple[str, str, str, str, int, int]:
    """Return the version, the processor, the libc, the program, and how much there is."""
    listing, programs, stated = Listing(), dict[str, bytes](), b""
    for member in archive:
        path = listing.add(member)
        content = archive.extractfile(member) if member.isreg() else None
        if content and PROGRAM.fullmatch(path):
            programs[path] = b"" if programs else content.read(elf.LARGEST)
        elif content and _HEADER.fullmatch(path):
            stated = content.read(_LONGEST)
    listing.finish()
    if len(programs) != 1:
        raise ValueError("it does not have one program such as bin/python3.13")
    ((program, binary),) = programs.items()
    if not (found := _STATED.search(stated)):
        raise ValueError("it has no include/python3.*/patchlevel.h that states its version")
    version = found[1].decode()
    if not version.startswith(program.removeprefix("bin/python") + "."):
        raise ValueError(f"its {program} is not of its version, {version}")
    return version, *elf.describe(binary), program, len(listing.kinds), listing.size


def newest(found: Iterable[Interpreter]) -> Interpreter | None:
    def numbers(each: Interpreter) -> tuple[int, ...]:
        return tuple(map(int, each.version.split(".")))

    return max(found, key=numbers, default=None)

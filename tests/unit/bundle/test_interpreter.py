"""What an archive of a Python is for is read from its content."""

from __future__ import annotations

import platform
import struct
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

import relocatable
import wheelhouse
from shipit.bundle import elf
from shipit.bundle.interpreter import newest, open_archive
from shipit.errors import InputError, Mistake

if TYPE_CHECKING:
    from pathlib import Path

LIBC = ("glibc", 2, 36)


def program(
    machine: int = 62,
    loader: str = "/lib64/ld-linux-x86-64.so.2",
    *,
    bits: int = 64,
    big: bool = False,
) -> bytes:
    """Return the head of a program; without a loader it is linked statically."""
    order = ">" if big else "<"
    ident = b"\x7fELF" + bytes([2 if bits == 64 else 1, 2 if big else 1]) + bytes(10)
    text = loader.encode() + b"\0"
    number = 2 if loader else 1
    if bits == 64:
        header = struct.pack(f"{order}HHIQQQIHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, number)
        table = struct.pack(f"{order}IIQQQQQQ", 1, 5, 0, 0, 0, 0, 0, 0)
        at = struct.pack(f"{order}IIQQQQQQ", 3, 4, 64 + 112 + 8, 0, 0, len(text), 0, 0)
    else:
        header = struct.pack(f"{order}HHIIIIIHHH", 3, machine, 1, 0, 52, 0, 0, 52, 32, number)
        table = struct.pack(f"{order}IIIIIIII", 1, 0, 0, 0, 0, 0, 5, 0)
        at = struct.pack(f"{order}IIIIIIII", 3, 52 + 64 + 4, 0, 0, len(text), 0, 4, 0)
    start = (ident + header).ljust(64 if bits == 64 else 52, b"\0")
    offset = 64 + 112 + 8 if bits == 64 else 52 + 64 + 4
    return (start + table + (at if loader else b"")).ljust(offset, b"\0") + text


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (program(), ("x86_64", "glibc")),
        (program(183, "/lib/ld-linux-aarch64.so.1"), ("aarch64", "glibc")),
        (program(183, "/lib/ld-musl-aarch64.so.1"), ("aarch64", "musl")),
        (program(22, "/lib/ld64.so.1", big=True), ("s390x", "glibc")),
        (program(3, "/lib/ld-linux.so.2", bits=32), ("i686", "glibc")),
        (program(40, "/lib/ld-linux-armhf.so.3", bits=32), ("armv7l", "glibc")),
    ],
)
def test_a_program_states_its_processor_and_its_libc(head: bytes, found: tuple[str, str]) -> None:
    assert elf.describe(head) == found


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"#!/bin/sh\n", "no program for Linux"),
        (b"", "no program for Linux"),
        (program(999), "unknown processor"),
        (program()[:80], "unknown processor"),
        (program(loader=""), "linked statically"),
        (program(loader="/lib/ld-uclibc.so.1"), "unknown C library"),
        (program()[:150], "unknown processor"),
        (program()[:32] + b"\xff" * 8 + program()[40:], "unknown processor"),
        (program()[:128] + b"\xff" * 16 + program()[144:], "unknown"),
    ],
)
def test_what_is_none_is_refused(head: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        elf.describe(head)


def test_a_real_archive_is_this_machines_and_this_version(tmp_path: Path) -> None:
    path = relocatable.write(tmp_path)
    found = open_archive(path)
    assert (found.version, found.program) == (relocatable.VERSION, relocatable.PROGRAM)
    assert (found.machine, found.libc) == (platform.machine(), "glibc")
    assert (found.sha256, found.size) == (wheelhouse.sha256(path), path.stat().st_size)
    assert found.is_for(platform.machine(), LIBC)
    assert not found.is_for(platform.machine(), ("musl", 1, 2))
    assert not found.is_for("riscv64", LIBC)
    target = found.target(LIBC)
    assert (str(target), target.libc) == (
        f"CPython {relocatable.VERSION} on {platform.machine()} with glibc 2.36",
        LIBC,
    )
    with tarfile.open(path) as archive:
        assert found.unpacked == sum(member.size for member in archive)


def made(folder: Path, **content: bytes) -> Path:
    path = folder / "some python.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, each in content.items():
            relocatable.add(archive, name, each)
    return path


HEADER = "p/include/python3.13/patchlevel.h"
STATED = b'#define PY_VERSION      \t"3.13.1+"\n'


def test_its_name_counts_for_nothing(tmp_path: Path) -> None:
    found = open_archive(made(tmp_path, **{"p/bin/python3.13": program(183), HEADER: STATED}))
    assert (found.version, found.machine) == ("3.13.1", "aarch64")
    assert found.filename == "cpython-3.13.1-aarch64-linux-glibc.tar.gz", "it can be sent as that"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "one program such as bin/python3.13"),
        ({"p/bin/python3.13": program()}, "patchlevel.h"),
        ({"p/bin/python3.13": program(), HEADER: b"nothing"}, "patchlevel.h"),
        ({"p/bin/python3.12": program(), HEADER: STATED}, "is not of its version, 3.13.1"),
        ({"p/bin/python3.13": b"#!/bin/sh", HEADER: STATED}, "no program for Linux"),
        ({"p/bin/python3.13": program(), "p/bin/python3.12": b"", HEADER: STATED}, "one program"),
        ({"p/../../evil": b""}, "no path inside"),
    ],
)
def test_what_is_no_archive_of_a_python_is_refused(
    tmp_path: Path, content: dict[str, Any], said: str
) -> None:
    mistake = refused(made(tmp_path, **content))
    assert (mistake.code, said in mistake.what) == ("not-an-interpreter", True)
    assert "python-build-standalone" in mistake.hint


def test_a_file_that_is_broken_or_missing_is_refused(tmp_path: Path) -> None:
    path = relocatable.write(tmp_path)
    path.write_bytes(path.read_bytes()[:100_000])
    assert refused(path).code == "not-an-interpreter"
    path.write_bytes(b"nothing")
    assert refused(path).code == "not-an-interpreter"
    assert refused(tmp_path / "missing.tar.gz").code == "not-an-interpreter"


def refused(path: Path) -> Mistake:
    with pytest.raises(InputError) as caught:
        open_archive(path)
    (mistake,) = caught.value.mistakes
    return mistake


def test_the_newest_is_the_one_of_the_highest_number(tmp_path: Path) -> None:
    old = open_archive(made(tmp_path, **{"p/bin/python3.13": program(), HEADER: STATED}))
    later = tmp_path / "later"
    later.mkdir()
    stated = STATED.replace(b"3.13.1", b"3.13.10")
    new = open_archive(made(later, **{"p/bin/python3.13": program(), HEADER: stated}))
    assert newest([new, old]) == newest([old, new]) == new
    assert newest([]) is None

"""Read from the headers of a program for Linux which processor and C library it is for."""

from __future__ import annotations

import struct

LARGEST = 512 << 20  # bytes of a program; tools that change one may put its headers at its end
_MACHINES = {  # e_machine -> `platform.machine()`
    3: "i686",
    21: "ppc64le",
    22: "s390x",
    40: "armv7l",
    62: "x86_64",
    183: "aarch64",
    243: "riscv64",
}
_LOADER = 3  # PT_INTERP
_LIBCS = {"/ld-musl-": "musl", "/ld-linux": "glibc", "/ld64.so": "glibc"}  # in a loader's name
# Where a header has: the offset of the table of segments, its entries' size and number; where an
# entry has: the offset and size of its segment.
_LAYOUTS = {1: ("I", 28, 42, "I", 4, 16), 2: ("Q", 32, 54, "Q", 8, 32)}  # of 32 and 64 bits


def describe(program: bytes) -> tuple[str, str]:
    """Return the processor and the C library of a program: ("x86_64", "glibc").

    Raises:
        ValueError: it is no program for Linux, or is linked with no C library that loads modules.
    """
    try:
        if program[:4] != b"\x7fELF":
            raise ValueError("it is no program for Linux")
        order = {1: "<", 2: ">"}[program[5]]
        (machine,) = struct.unpack_from(f"{order}H", program, 18)
        loader = _loader(program, order)
        libc = next((libc for name, libc in _LIBCS.items() if name in loader), "")
        if not libc:
            raise ValueError(f"it is for an unknown C library ({loader!a})")
        return _MACHINES[machine], libc
    except (struct.error, IndexError, KeyError, OverflowError) as error:
        raise ValueError("it is for an unknown processor") from error


def _loader(program: bytes, order: str) -> str:
    word, table_at, size_at, offset_word, offset_at, length_at = _LAYOUTS[program[4]]
    (table,) = struct.unpack_from(order + word, program, table_at)
    size, number = struct.unpack_from(f"{order}HH", program, size_at)
    for entry in range(table, table + size * number, size or 1):
        if struct.unpack_from(f"{order}I", program, entry) == (_LOADER,):
            (offset,) = struct.unpack_from(order + offset_word, program, entry + offset_at)
            (length,) = struct.unpack_from(order + offset_word, program, entry + length_at)
            return program[offset : offset + length].decode(errors="replace")
    raise ValueError("it is linked statically, and cannot load the modules of wheels")

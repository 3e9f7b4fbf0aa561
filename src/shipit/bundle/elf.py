"""Read from the head of a program for Linux which processor and C library it is for."""

from __future__ import annotations

import struct

HEAD = 64 << 10  # bytes that are enough of any program
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
# Where a header has: the offset of the table of segments, its entries' size and number; where an
# entry has: the offset and size of its segment.
_LAYOUTS = {1: ("I", 28, 42, "I", 4, 16), 2: ("Q", 32, 54, "Q", 8, 32)}  # of 32 and 64 bits


def describe(head: bytes) -> tuple[str, str]:
    """Return the processor and the C library of a program: ("x86_64", "glibc").

    Raises:
        ValueError: it is no program for Linux, or is linked with no C library that loads modules.
    """
    try:
        if head[:4] != b"\x7fELF":
            raise ValueError("it is no program for Linux")
        order = {1: "<", 2: ">"}[head[5]]
        (machine,) = struct.unpack_from(f"{order}H", head, 18)
        loader = _loader(head, order)
        return _MACHINES[machine], "musl" if "ld-musl" in loader else "glibc"
    except (struct.error, IndexError, KeyError) as error:
        raise ValueError("it is for an unknown processor") from error


def _loader(head: bytes, order: str) -> str:
    word, table_at, size_at, offset_word, offset_at, length_at = _LAYOUTS[head[4]]
    (table,) = struct.unpack_from(order + word, head, table_at)
    size, number = struct.unpack_from(f"{order}HH", head, size_at)
    for entry in range(table, table + size * number, size or 1):
        if struct.unpack_from(f"{order}I", head, entry) == (_LOADER,):
            (offset,) = struct.unpack_from(order + offset_word, head, entry + offset_at)
            (length,) = struct.unpack_from(order + offset_word, head, entry + length_at)
            return head[offset : offset + length].decode(errors="replace")
    raise ValueError("it is linked statically, and cannot load the modules of wheels")

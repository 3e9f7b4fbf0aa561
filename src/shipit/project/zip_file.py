"""Write zip files that depend on their contents alone: not on dates, users, umask or order.

Nothing is compressed: versions of zlib differ in the bytes that they make of one text.
"""

from __future__ import annotations

import base64
import hashlib
import stat
import zipfile
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date of a zip file
_UNIX = 3


def entry(name: str, mode: int = 0o644) -> zipfile.ZipInfo:
    """Return the head of a regular file."""
    made = zipfile.ZipInfo(name, _EPOCH)
    made.external_attr = (stat.S_IFREG | mode) << 16
    made.create_system, made.compress_type = _UNIX, zipfile.ZIP_STORED
    return made


@dataclass(frozen=True)
class Member:
    """A file to be written; the size is in bytes.

    Attributes:
        open: opens its contents; they are read once, in pieces.
    """

    name: str
    mode: int
    size: int
    open: Callable[[], IO[bytes]] = field(repr=False)


def of_bytes(name: str, data: bytes, mode: int = 0o644) -> Member:
    return Member(name, mode, len(data), partial(BytesIO, data))


def of_file(name: str, path: Path, mode: int = 0o644) -> Member:
    return Member(name, mode, path.stat().st_size, lambda: path.open("rb"))


def add(archive: zipfile.ZipFile, member: Member) -> str:
    """Add a file to a zip; return its sha256."""
    head, digest = entry(member.name, member.mode), hashlib.sha256()
    head.file_size = member.size  # decides whether it needs zip64
    with member.open() as content, archive.open(head, "w") as out:
        while piece := content.read(1 << 20):
            digest.update(piece)
            out.write(piece)
    return digest.hexdigest()


def write_wheel(path: Path, files: Iterable[Member], info: str) -> None:
    """Write a wheel, with the RECORD of its files (PEP 427).

    Args:
        path: where to.
        files: in any order, without a RECORD.
        info: the name of its .dist-info folder; its files come last, as PEP 427 recommends.
    """
    known = sorted(files, key=lambda file: (file.name.startswith(f"{info}/"), file.name))
    with zipfile.ZipFile(path, "w") as archive:
        lines = [
            f"{_quoted(file.name)},{_in_record(add(archive, file))},{file.size}" for file in known
        ]
        last = f"{info}/RECORD"
        add(archive, of_bytes(last, "\n".join([*lines, f"{last},,", ""]).encode()))


def normalize_wheel(path: Path, target: Path) -> None:
    """Write a wheel anew, so that the same files make the same bytes.

    The backend's own RECORD is replaced: it lists the same files, in another order at worst.

    Raises:
        zipfile.BadZipFile: it is not a zip, or has no .dist-info/WHEEL.
    """
    with zipfile.ZipFile(path) as archive:
        members = [each for each in archive.infolist() if not each.is_dir()]
        names = [each.filename for each in members if each.filename.endswith(".dist-info/WHEEL")]
        if not names:
            raise zipfile.BadZipFile("it has no .dist-info/WHEEL")
        folder = names[0].partition("/")[0]
        files = [
            Member(each.filename, _mode(each), each.file_size, partial(archive.open, each))
            for each in members
            if each.filename != f"{folder}/RECORD"
        ]
        write_wheel(target, files, folder)


def headers(fields: Mapping[str, str]) -> bytes:
    """Return the text of METADATA or WHEEL: one field on each line."""
    return "".join(f"{name}: {value}\n" for name, value in fields.items() if value).encode()


def _mode(member: zipfile.ZipInfo) -> int:
    return 0o755 if (member.external_attr >> 16) & stat.S_IXUSR else 0o644


def _in_record(sha256: str) -> str:
    digest = base64.urlsafe_b64encode(bytes.fromhex(sha256)).rstrip(b"=")
    return f"sha256={digest.decode()}"


def _quoted(name: str) -> str:
    """Return a field of RECORD, which is a CSV file."""
    return f'"{name.replace(chr(34), chr(34) * 2)}"' if {",", '"'} & set(name) else name

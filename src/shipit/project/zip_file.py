"""Write zip files that depend on their contents alone: not on dates, users, umask or order.

Nothing is compressed: versions of zlib differ in the bytes that they make of one text.
"""

from __future__ import annotations

import base64
import hashlib
import stat
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date of a zip file
_UNIX = 3


def entry(name: str, mode: int = 0o644) -> zipfile.ZipInfo:
    """Return the head of a regular file."""
    made = zipfile.ZipInfo(name, _EPOCH)
    made.external_attr = (stat.S_IFREG | mode) << 16
    made.create_system, made.compress_type = _UNIX, zipfile.ZIP_STORED
    return made


def write_wheel(path: Path, files: Iterable[tuple[str, int, bytes]], info: str) -> None:
    """Write a wheel from files (name, mode, contents), with the RECORD of them (PEP 427).

    Args:
        path: where to.
        files: in any order, without a RECORD.
        info: the name of its .dist-info folder; its files come last, as PEP 427 recommends.
    """
    known = sorted(files, key=lambda file: (file[0].startswith(f"{info}/"), file[0]))
    record = [f"{_quoted(name)},{_hash(data)},{len(data)}" for name, _, data in known]
    with zipfile.ZipFile(path, "w") as archive:
        for name, mode, data in known:
            archive.writestr(entry(name, mode), data)
        last = f"{info}/RECORD"
        archive.writestr(entry(last), "\n".join([*record, f"{last},,", ""]))


def normalize_wheel(path: Path, target: Path) -> None:
    """Write a wheel anew, so that the same files make the same bytes.

    The backend's own RECORD is replaced: it lists the same files, in another order at worst.
    """
    with zipfile.ZipFile(path) as archive:
        members = [each for each in archive.infolist() if not each.is_dir()]
        info = next(m.filename for m in members if m.filename.endswith(".dist-info/WHEEL"))
        folder = info.partition("/")[0]
        files = [
            (each.filename, _mode(each), archive.read(each))
            for each in members
            if each.filename != f"{folder}/RECORD"
        ]
    write_wheel(target, files, folder)


def headers(fields: Mapping[str, str]) -> bytes:
    """Return the text of METADATA or WHEEL: one field on each line."""
    return "".join(f"{name}: {value}\n" for name, value in fields.items() if value).encode()


def _mode(member: zipfile.ZipInfo) -> int:
    return 0o755 if (member.external_attr >> 16) & stat.S_IXUSR else 0o644


def _hash(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"


def _quoted(name: str) -> str:
    """Return a field of RECORD, which is a CSV file."""
    return f'"{name.replace(chr(34), chr(34) * 2)}"' if {",", '"'} & set(name) else name

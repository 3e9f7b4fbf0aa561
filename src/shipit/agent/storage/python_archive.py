"""Unpack the archive of an interpreter into a new folder, as root and without trusting it.

Promises: nothing is written outside of the folder, or beyond the declared number of entries and
bytes. Everything belongs to this user and is writable for it alone, readable for all; a file is
executable or not, and has no other bits.
"""

import hashlib
import os
import tarfile
import zlib
from typing import IO, Dict, List

from ..protocol.manifest import Python
from ..protocol.messages import Failure
from ..protocol.rules.archives import FILE, FOLDER, Listing, UnsafeArchive
from ..system import files
from ..system.failures import Refused

STEP = "build"
CHUNK = 1024 * 1024  # bytes
RUNS, READS = 0o755, 0o644  # modes of files
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW

Entries = Dict[str, List[str]]  # path -> kind, and what is checked later


def unpack(archive: str, folder: str, python: Python) -> Entries:
    """Unpack an archive; return what is in the folder, for `differences` of `pythons`.

    Raises:
        Refused: interpreter-broken: the archive is broken, unsafe, or larger than declared.
    """
    listing, entries = Listing(python.entries, python.unpacked), {}  # type: Listing, Entries
    os.mkdir(folder)
    os.chmod(folder, files.PUBLIC)
    try:
        with tarfile.open(archive, "r|gz") as stream:
            for member in stream:
                path = listing.add(member)
                if path:
                    entries[path] = _put(stream, member, folder, path, listing)
        listing.finish()
    except (UnsafeArchive, tarfile.TarError, EOFError, zlib.error) as error:
        hint = "get the archive again from where it was built"
        what = f"{python.filename} cannot be unpacked: {error}"
        raise Refused(Failure("interpreter-broken", what, STEP, hint)) from error
    for path, kind in listing.kinds.items():
        if kind == FOLDER:
            os.chmod(os.path.join(folder, path), files.PUBLIC)
            entries[path] = [FOLDER]
    return entries


def _put(
    stream: tarfile.TarFile, member: tarfile.TarInfo, folder: str, path: str, listing: Listing
) -> List[str]:
    """Write one entry. Its parents are folders that this call, or an earlier one, has made."""
    target, kind = os.path.join(folder, path), listing.kinds[path]
    if kind == FOLDER:
        os.makedirs(target, files.PUBLIC, exist_ok=True)
        return [FOLDER]
    os.makedirs(os.path.dirname(target), files.PUBLIC, exist_ok=True)
    if kind != FILE:
        os.symlink(member.linkname, target)
        return [kind, member.linkname]
    mode = RUNS if member.mode & 0o100 else READS
    if member.islnk():  # copied: of a file with several names a change is harder to see
        source = os.path.join(folder, listing.place(member.linkname))
        with open(source, "rb") as content:
            digest = _write(content, target, mode)
    else:
        extracted = stream.extractfile(member)
        if extracted is None:
            raise UnsafeArchive(f"{path} has no content")
        digest = _write(extracted, target, mode)
    return [FILE, f"{mode:o}", digest]


def _write(content: IO[bytes], target: str, mode: int) -> str:
    """Copy a file; return its sha256."""
    digest = hashlib.sha256()
    with files.opened(target, NEW) as descriptor:
        for chunk in iter(lambda: content.read(CHUNK), b""):
            digest.update(chunk)
            files.write_all(descriptor, chunk)
        os.fchmod(descriptor, mode)
    return digest.hexdigest()

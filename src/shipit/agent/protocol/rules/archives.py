"""What the archive of an interpreter may contain, by the headers of its entries. Both sides check.

One folder at the top; in it files, folders and links, none of which leads out of it. Owners and
modes count for nothing, except whether a file can be executed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Dict, List

from ..fields import PYTHON_PROGRAM

if TYPE_CHECKING:
    import tarfile

ENTRIES_AT_MOST, SIZE_AT_MOST = 100_000, 8 * 1024**3  # of any interpreter; the size in bytes
PROGRAM = re.compile(PYTHON_PROGRAM)
FILES = (b"0", b"\0")  # types of plain files; tarfile itself is loaded by who unpacks
FOLDER, FILE, LINK = "folder", "file", "link"


class UnsafeArchive(ValueError):
    """The archive is no interpreter's, or not safe to unpack; the text says why."""


class Listing:
    """The entries of an archive so far, by their paths below its only top folder.

    Attributes:
        kinds: FOLDER, FILE or LINK.
        links: the targets of links, by path.
        sizes: of files, in bytes.
        size: of all of them.
    """

    def __init__(self, entries: int = ENTRIES_AT_MOST, size: int = SIZE_AT_MOST) -> None:
        self._entries_at_most, self._size_at_most = entries, size
        self._top = ""
        self.kinds: Dict[str, str] = {}
        self.links: Dict[str, str] = {}
        self.sizes: Dict[str, int] = {}
        self.size = 0

    def add(self, member: tarfile.TarInfo) -> str:
        """Return the path of an entry, "" for the top folder.

        Raises:
            UnsafeArchive: there may be no such entry.
        """
        path = self.place(member.name)
        if not path:
            if not member.isdir():
                raise UnsafeArchive(f"{member.name} is not in a folder")
            return path
        self._make_folders(path)
        kind = self._kind(member, path)
        if path in self.kinds and not kind == self.kinds[path] == FOLDER:
            raise UnsafeArchive(f"{path} is there twice")
        self.kinds[path] = kind
        if kind == LINK:
            self.links[path] = member.linkname
        if kind == FILE:
            of = self.place(member.linkname) if member.islnk() else ""
            self.sizes[path] = self.sizes[of] if of else member.size
            self.size += self.sizes[path]
        self._limit()
        return path

    def place(self, name: str) -> str:
        """Return the path of a name below the top folder; "" for that itself."""
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if name.startswith("/") or ".." in parts or not name.isprintable() or not parts:
            raise UnsafeArchive(f"{name!a} is no path inside of it")
        self._top = self._top or parts[0]
        if parts[0] != self._top:
            raise UnsafeArchive(f"it has two folders at its top, {self._top} and {parts[0]}")
        return "/".join(parts[1:])

    def finish(self) -> None:
        """Check what needs all entries: where links lead.

        Raises:
            UnsafeArchive: a link leads outside, or through another one.
        """
        for path, target in self.links.items():
            at: List[str] = path.split("/")[:-1]
            if target.startswith("/") or not target.isprintable():
                raise UnsafeArchive(f"the link {path} leads to {target!a}, outside of it")
            for part in target.split("/"):
                if "/".join(at) in self.links:
                    raise UnsafeArchive(f"the link {path} leads through another one")
                if part == ".." and not at:
                    raise UnsafeArchive(f"the link {path} leads outside of it")
                at = at[:-1] if part == ".." else [*at, *([part] if part not in ("", ".") else [])]

    def _make_folders(self, path: str) -> None:
        """Note the folders above an entry, which need no entries of their own."""
        parts = path.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            above = "/".join(parts[:depth])
            if self.kinds.setdefault(above, FOLDER) != FOLDER:
                raise UnsafeArchive(f"{path} lies below {above}, which is no folder")

    def _kind(self, member: tarfile.TarInfo, path: str) -> str:
        if member.isdir():
            return FOLDER
        if member.issym() and member.linkname:
            return LINK
        if member.islnk() and self.kinds.get(self.place(member.linkname)) == FILE:
            return FILE
        if member.type not in FILES or member.issparse():
            raise UnsafeArchive(f"{path} is neither a file nor a folder nor a link")
        return FILE

    def _limit(self) -> None:
        if len(self.kinds) > self._entries_at_most or self.size > self._size_at_most:
            most = f"{self._entries_at_most} entries and {self._size_at_most} bytes"
            raise UnsafeArchive(f"it has more than {most}")

"""Decide whether root may execute or read a path.

It may if no other user can change it: each folder from / down, each symlink with the folders of its
target, and the file itself belong to root and are writable for root alone. A sticky folder (/tmp)
counts as writable for all. A POSIX ACL that lets another user write shows in the group's bits of
the mode. Starts no program and reads no content.
"""

import errno
import os
import stat
from shlex import quote
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from . import accounts
from .failures import existing

LINKS_AT_MOST = 40  # the kernel's limit
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class Entry(NamedTuple):
    """One path: its owner, its whole st_mode, and a symlink's target."""

    uid: int
    mode: int
    target: str = ""

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.mode)


Look = Callable[[str], Optional[Entry]]


class Weakness(NamedTuple):
    """The first entry on a path that a user other than root can change."""

    path: str
    uid: int
    mode: int  # st_mode

    def __str__(self) -> str:
        return (
            f"{self.path} belongs to {accounts.user_name(self.uid)}, mode {self.mode & 0o7777:04o}"
        )

    @property
    def cure(self) -> str:
        """The commands that make root the only one who can change the entry.

        For a shell: other users may have chosen the names in the path.
        """
        link, path = stat.S_ISLNK(self.mode), quote(self.path)
        chown = f"chown {'-h ' if link else ''}root: {path}" if self.uid else ""
        chmod = f"chmod go-w {path}" if self.mode & OTHERS_WRITE and not link else ""
        return " && ".join(filter(None, (chown, chmod)))


def look(path: str) -> Optional[Entry]:
    """Return the entry at a path; None if there is none."""
    try:
        status = os.lstat(path)
        target = os.readlink(path) if stat.S_ISLNK(status.st_mode) else ""
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Entry(status.st_uid, status.st_mode, target)


def weakness(path: str, look: Look = look) -> Optional[Weakness]:
    """Return the first entry on an absolute path that other users can change, or None.

    For a missing path, the last existing folder decides.

    Raises:
        OSError: the path has too many symlinks (ELOOP), or cannot be read.
    """
    for place, entry in way(path, look):
        if entry.uid != 0 or (not entry.is_link and entry.mode & OTHERS_WRITE):
            return Weakness(place, entry.uid, entry.mode)
    return None


def closed(path: str, look: Look = look) -> Optional[str]:
    """Return the first entry on a program's path that keeps other users from running it.

    Raises:
        OSError: as for `weakness`.
    """
    for place, entry in way(path, look):
        needed = stat.S_IXOTH if stat.S_ISDIR(entry.mode) else stat.S_IROTH | stat.S_IXOTH
        if not entry.is_link and entry.mode & needed != needed:
            return place
    return None


def way(path: str, look: Look) -> Iterator[Tuple[str, Entry]]:
    """Yield every entry from / to the target of an absolute path, as the kernel resolves it.

    Raises:
        OSError: as for `weakness`.
    """
    place, rest, links = "/", _names(path), 0
    while True:
        entry = look(place)
        if entry is None:
            return
        yield place, entry
        if entry.is_link:
            links += 1
            if links > LINKS_AT_MOST:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            place = "/" if entry.target.startswith("/") else os.path.dirname(place)
            rest = [*_names(entry.target), *rest]
        if not rest:
            return
        name, *rest = rest
        # The parents of a real folder were checked before.
        place = os.path.dirname(place) if name == ".." else os.path.join(place, name)


def _names(path: str) -> List[str]:
    return [name for name in path.split("/") if name not in ("", ".")]


def weaknesses(*wanted: str) -> List[Weakness]:
    """Return every entry on these paths that users other than root can change.

    In a sticky folder nobody can replace an entry of root, but anybody can create a missing one.
    """
    seen: Dict[str, Weakness] = {}

    def look_again(path: str) -> Optional[Entry]:
        entry = look(path)
        if entry is None:
            return None
        sticky = stat.S_ISDIR(entry.mode) and entry.mode & stat.S_ISVTX
        mode = entry.mode & ~OTHERS_WRITE if sticky or path in seen else entry.mode
        # A process that is not root (in a test) trusts its own user.
        is_trusted = path in seen or entry.uid == os.geteuid()
        return entry._replace(uid=0 if is_trusted else entry.uid, mode=mode)

    for path in wanted:
        found = weakness(path, look_again) or _open_end(path)
        while found is not None and found.path not in seen:
            seen[found.path] = found
            found = weakness(path, look_again) or _open_end(path)
    return list(seen.values())


def _open_end(path: str) -> Optional[Weakness]:
    """Return the folder in which other users could create the path, or its missing part."""
    last = existing(os.path.realpath(path))
    status = os.stat(last)
    is_open = stat.S_ISDIR(status.st_mode) and status.st_mode & OTHERS_WRITE
    return Weakness(last, status.st_uid, status.st_mode) if is_open else None

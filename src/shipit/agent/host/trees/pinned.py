"""Hold an inode by a descriptor while it is examined, so that nobody can put another in its place.

O_PATH opens anything without acting on it: no symlink is followed, no pipe waits for its other end.
"""

import os
from typing import Iterator

from ...system import files

PINNED = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NONBLOCK
FDINFO = 256  # bytes, which contain mnt_id


def path(held: int) -> str:
    """Return a path to exactly the inode of a descriptor, even of a symlink."""
    return f"/proc/self/fd/{held}"


def mount(held: int) -> bytes:
    """Return the mount in which an inode was opened."""
    with files.opened(f"/proc/self/fdinfo/{held}", os.O_RDONLY) as fdinfo:
        return os.read(fdinfo, FDINFO).partition(b"mnt_id:")[2].partition(b"\n")[0]


def names(folder: int) -> Iterator[str]:
    """Yield the names in an open directory."""
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry.name

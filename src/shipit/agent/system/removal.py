"""Remove a directory tree that another user has filled, and may still change.

No depth exhausts the stack or the descriptors: each directory is moved into the top of the tree
before it is entered. There it is chowned to root, which ends what others can do in it, and emptied.
So no path leads through what others can change, no symlink is followed, and a mount is never
entered, as it cannot be moved.
"""

import os
import time
from contextlib import suppress
from typing import Iterator

TIMEOUT = 300.0  # seconds; a slow disk with many files
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
OWN = 0o700
RELEVANT = 0o722  # the bits of a mode that say who may change a directory


def remove(path: str, timeout: float = TIMEOUT) -> None:
    """Remove a directory tree as far as possible, within some seconds; another call goes on.

    The directory that contains it must be root's.
    """
    with suppress(OSError):  # it is gone, is none, or something in it cannot be removed
        top = os.open(path, FOLDER)
        try:
            _Removal(top, time.monotonic() + timeout).run()
        finally:
            os.close(top)
        os.rmdir(path)


class _Removal:
    """Removes what is in a directory. Its own names for directories are known to nobody."""

    def __init__(self, top: int, deadline: float) -> None:
        self._top, self._deadline = top, deadline
        self._prefix = f"{os.urandom(16).hex()}."
        self._moved, self._removed = 0, 0

    def run(self) -> None:
        """Repeat until nothing more can be removed: a full disk first needs room for the moves."""
        _take(self._top)
        before = (-1, -1)
        while before != (self._moved, self._removed):
            before = (self._moved, self._removed)
            for name in self._names(self._top):
                if not self._unlink(self._top, name):
                    self._folder(name)

    def _names(self, folder: int) -> Iterator[str]:
        with os.scandir(folder) as entries:
            for entry in entries:
                if time.monotonic() >= self._deadline:
                    return
                yield entry.name

    def _unlink(self, folder: int, name: str) -> bool:
        """Remove a name; return False for a directory, which is still there."""
        try:
            os.unlink(name, dir_fd=folder)
            self._removed += 1
        except IsADirectoryError:
            return False
        except OSError:  # somebody has removed it, or nobody can
            pass
        return True

    def _folder(self, name: str) -> None:
        """Remove a directory in the top, and move those in it there."""
        with suppress(OSError):  # a mount, for instance; or it is not empty yet
            if not name.startswith(self._prefix):
                name = self._move(self._top, name)
            inside = os.open(name, FOLDER, dir_fd=self._top)
            try:
                _take(inside)
                for each in self._names(inside):
                    if not self._unlink(inside, each):
                        with suppress(OSError):
                            self._move(inside, each)
            finally:
                os.close(inside)
            os.rmdir(name, dir_fd=self._top)
            self._removed += 1

    def _move(self, folder: int, name: str) -> str:
        own = f"{self._prefix}{self._moved}"
        os.rename(name, own, src_dir_fd=folder, dst_dir_fd=self._top)
        self._moved += 1
        return own


def _take(folder: int) -> None:
    """Make a directory root's own: who has it open can make nothing in it any more either."""
    status = os.fstat(folder)
    if status.st_uid != os.geteuid():
        os.fchown(folder, os.geteuid(), -1)
    if status.st_uid != os.geteuid() or status.st_mode & RELEVANT != OWN:
        os.fchmod(folder, OWN)

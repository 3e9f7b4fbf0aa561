"""Hand a directory over to another user, with all in it that belongs to the present ones.

Root walks a tree here that others can write to, and change meanwhile. So each inode is held by a
descriptor before it is looked at, and what is changed is that inode. No symlink is followed and no
mount is crossed. A file with a second name is left alone, as that name may lie anywhere: whoever
could make it (fs.protected_hardlinks) would choose what is given away. Devices are left, too.
setuid and setgid bits go: the kernel takes them from what changes hands.

A directory is given before it is read: what the former user makes in it until then is found, and
afterwards it can make nothing more.
"""

import os
import stat
import time
from contextlib import ExitStack
from typing import FrozenSet, Iterator, Optional

from ..protocol.messages import Failure
from ..system import trust
from ..system.failures import Refused
from ..system.ownership import Move

DEPTH = 200  # directories in each other; each one takes three descriptors of 1024
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NONBLOCK
FDINFO = 256  # bytes, in which mnt_id is
PINNED = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def hand_over(move: Move, *, timeout: float, lenient: bool) -> None:
    """Give a tree to its taker; done again, it goes on where it was left.

    `lenient`: what cannot be given is left as it is: a service must not keep its predecessor
    away by what it has made.

    Raises:
        Refused: hand-over-unfinished: the tree is too deep, or `timeout` seconds were too few.
        OSError: something in it cannot be given.
    """
    top = _top(move.path)
    if top is None:
        return
    walk = _Walk(move, time.monotonic() + timeout, lenient=lenient)
    with ExitStack() as opened:
        opened.callback(os.close, top)
        walk.mount = _mount(top)
        walk.give(top, os.fstat(top))
        walk.below(top, 1)


def _top(path: str) -> Optional[int]:
    """Open the directory; None where there is none, or where others could put one in its place."""
    real = os.path.realpath(path)
    if trust.weaknesses(os.path.dirname(path), os.path.dirname(real)):
        return None  # it lies in another one of the app's, and is given with that
    try:
        return os.open(real, FOLDER | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return None


class _Walk:
    """Gives what it comes across, within one mount."""

    def __init__(self, move: Move, deadline: float, *, lenient: bool) -> None:
        self._move, self._deadline, self._is_lenient = move, deadline, lenient
        self._uids: FrozenSet[int] = frozenset(giver.uid for giver in move.givers)
        self._pairs = frozenset((giver.uid, giver.gid) for giver in move.givers)
        self.mount = b""

    def below(self, folder: int, depth: int) -> None:
        """Give what is in a directory, and in those that it has."""
        for name in _names(folder):
            if time.monotonic() >= self._deadline or depth > DEPTH:
                self._unfinished(depth)
                return
            try:
                self._entry(folder, name, depth)
            except FileNotFoundError:
                continue  # it has gone meanwhile
            except OSError as error:
                if not self._is_lenient:
                    error.filename = self._move.path
                    raise

    def _entry(self, folder: int, name: str, depth: int) -> None:
        child = os.open(name, PINNED, dir_fd=folder)
        try:
            if _mount(child) == self.mount:  # of another one not even the owner is asked
                self._held(child, depth)
        finally:
            os.close(child)

    def _held(self, child: int, depth: int) -> None:
        status = os.fstat(child)
        self.give(child, status)
        if stat.S_ISDIR(status.st_mode):
            inside = os.open(_path(child), FOLDER)
            try:
                self.below(inside, depth + 1)
            finally:
                os.close(inside)

    def give(self, held: int, status: os.stat_result) -> None:
        """Give an inode if it is one of the givers'; a group that is not theirs stays."""
        taker, own = self._move.taker, (status.st_uid, status.st_gid)
        if status.st_uid not in self._uids or not _may_be_given(status):
            return
        gid = taker.gid if own in self._pairs else status.st_gid
        if own != (taker.uid, gid):
            os.chown(_path(held), taker.uid, gid)

    def _unfinished(self, depth: int) -> None:
        if self._is_lenient:
            return
        how = f"more than {DEPTH} deep" if depth > DEPTH else "too large to be given in time"
        what = f"{self._move.path} could not be handed over to its new user: it is {how}"
        hint = "remove what is not needed there; or keep the user"
        raise Refused(Failure("hand-over-unfinished", what, "", hint))


def _names(folder: int) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry.name


def _may_be_given(status: os.stat_result) -> bool:
    """Whether an inode is certainly the directory's alone, and no way to a device."""
    if stat.S_ISDIR(status.st_mode):
        return True
    is_device = stat.S_ISBLK(status.st_mode) or stat.S_ISCHR(status.st_mode)
    return status.st_nlink == 1 and not is_device


def _path(held: int) -> str:
    """Return a name of the very inode that a descriptor holds, of a symlink too."""
    return f"/proc/self/fd/{held}"


def _mount(held: int) -> bytes:
    """Return which mount an inode was reached in."""
    told = os.open(f"/proc/self/fdinfo/{held}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(told, FDINFO).partition(b"mnt_id:")[2].partition(b"\n")[0]
    finally:
        os.close(told)

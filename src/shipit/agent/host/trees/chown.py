"""Chown a directory to another user, with all content that belongs to its former users.

Root walks a tree here that other users can change meanwhile. So each inode is opened before it is
examined, and the chown acts on that descriptor. Follows no symlink and crosses no mount. Skips
files with several hard links, as another name may be anywhere: its maker (fs.protected_hardlinks)
could choose what is given away. Skips devices. The kernel clears setuid and setgid bits.

A directory is chowned before it is read: what the former user created before is found, and later it
can create nothing.
"""

import os
import stat
import time
from contextlib import ExitStack
from typing import FrozenSet

from ...protocol.messages import Failure
from ...system import trust
from ...system.failures import Refused
from ...system.ownership import Move
from . import pinned
from .pinned import FOLDER, PINNED

DEPTH = 200  # nested directories; each takes three descriptors of 1024


def hand_over(move: Move, *, timeout: float, lenient: bool) -> None:
    """Chown a tree to its taker. A repeated call continues where the last one stopped.

    `lenient`: skip what cannot be chowned, so that a service can't block a rollback by what it has
    created.

    Raises:
        Refused: hand-over-unfinished: the tree is too deep, or `timeout` seconds were too few.
        OSError: something in it cannot be chowned.
    """
    real = os.path.realpath(move.path)
    if trust.weaknesses(os.path.dirname(move.path), os.path.dirname(real)):
        return  # it is in another of the app's directories, and is chowned with that
    try:
        top = os.open(real, FOLDER | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return
    walk = _Walk(move, time.monotonic() + timeout, lenient=lenient)
    with ExitStack() as opened:
        opened.callback(os.close, top)
        walk.mount = pinned.mount(top)
        walk.give(top, os.fstat(top))
        walk.below(top, 1)


class _Walk:
    """Chowns what it finds, within one mount."""

    def __init__(self, move: Move, deadline: float, *, lenient: bool) -> None:
        self._move, self._deadline, self._is_lenient = move, deadline, lenient
        self._uids: FrozenSet[int] = frozenset(giver.uid for giver in move.givers)
        self._pairs = frozenset((giver.uid, giver.gid) for giver in move.givers)
        self.mount = b""

    def below(self, folder: int, depth: int) -> None:
        """Chown the content of a directory, recursively."""
        for name in pinned.names(folder):
            if time.monotonic() >= self._deadline or depth > DEPTH:
                if self._is_lenient:
                    return
                raise Refused(_unfinished(self._move.path, depth))
            try:
                self._entry(folder, name, depth)
            except FileNotFoundError:
                continue  # it was removed meanwhile
            except OSError as error:
                if not self._is_lenient:
                    error.filename = self._move.path
                    raise

    def _entry(self, folder: int, name: str, depth: int) -> None:
        child = os.open(name, PINNED, dir_fd=folder)
        with ExitStack() as opened:
            opened.callback(os.close, child)
            if pinned.mount(child) != self.mount:
                return  # on another mount not even the owner is read
            status = os.fstat(child)
            self.give(child, status)
            if stat.S_ISDIR(status.st_mode):
                inside = os.open(pinned.path(child), FOLDER)
                opened.callback(os.close, inside)
                self.below(inside, depth + 1)

    def give(self, held: int, status: os.stat_result) -> None:
        """Chown an inode if it belongs to a giver; keep a group that is not theirs."""
        taker, own = self._move.taker, (status.st_uid, status.st_gid)
        if status.st_uid not in self._uids or not _may_be_given(status):
            return
        gid = taker.gid if own in self._pairs else status.st_gid
        if own != (taker.uid, gid):
            os.chown(pinned.path(held), taker.uid, gid)


def _unfinished(path: str, depth: int) -> Failure:
    how = f"more than {DEPTH} deep" if depth > DEPTH else "too large to be chowned in time"
    what = f"{path} could not be chowned to its new user: it is {how}"
    hint = "remove what is not needed there; or keep the user"
    return Failure("hand-over-unfinished", what, "", hint)


def _may_be_given(status: os.stat_result) -> bool:
    """Whether an inode has no name elsewhere, and is no device."""
    if stat.S_ISDIR(status.st_mode):
        return True
    is_device = stat.S_ISBLK(status.st_mode) or stat.S_ISCHR(status.st_mode)
    return status.st_nlink == 1 and not is_device

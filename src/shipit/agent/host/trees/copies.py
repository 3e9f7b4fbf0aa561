"""Copy a directory that another user has filled, into one that belongs to root alone.

What is there stays under that user's control: it can change each name meanwhile, and may have files
open for writing for as long as it likes. So nothing is chowned in place. Each inode is pinned, then
examined, then its bytes are copied into a new file of root. All of these are refused: symlinks,
pipes, sockets and devices; what belongs to somebody else, or lies in another mount; a file with a
second name, which may be anybody's file (fs.protected_hardlinks); names that cannot be printed.
"""

import os
import stat
from contextlib import ExitStack, suppress
from typing import List

from ...protocol.messages import Failure
from ...system import files
from ...system.failures import Refused
from . import pinned

ENTRIES = 100_000  # files and directories
SIZE = 4 * 1024**3  # bytes
DEPTH = 50  # nested directories; each takes two descriptors of 1024
SHOWN = 20  # of what is refused
CHUNK = 1024 * 1024  # bytes
MODE = 0o644
CREATED = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


def copy(source: str, target: str, owner: int) -> None:
    """Copy the files of `owner` in a directory to `target`, with their times; readable by all.

    `target` is replaced when the copy is whole and on the disk; it may be `source`.

    Raises:
        Refused: assets-refused, with everything in it that is no plain file of this user.
        OSError: the disk is full, for instance.
    """
    beside = f"{target}.{os.getpid()}.new"
    files.remove(beside)
    try:
        _Copy(source, owner).all_to(beside)
        files.sync_filesystem(beside)
        files.remove_tree(target)
        os.rename(beside, target)
    except BaseException:
        files.remove(beside)
        raise
    files.sync_directory(os.path.dirname(target))


def _refused(source: str, found: List[str]) -> Failure:
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    what = f"what is in {source} cannot be given to browsers: {found[0]}{more}"
    hint = "only plain files and directories of one user can be (docs/assets.md)"
    return Failure("assets-refused", what, "", hint, "\n".join(found[:SHOWN]))


class _Copy:
    """Copies what it finds, and notes what it does not copy."""

    def __init__(self, source: str, owner: int) -> None:
        self._source, self._owner = source, owner
        self._entries, self._bytes = 0, 0
        self._mount = b""
        self.refused: List[str] = []

    def all_to(self, target: str) -> None:
        top = os.open(self._source, pinned.FOLDER | os.O_NOFOLLOW)
        with ExitStack() as opened:
            opened.callback(os.close, top)
            self._mount = pinned.mount(top)
            self._below(top, target, "", 1)
        if self.refused:
            raise Refused(_refused(self._source, self.refused))

    def _below(self, folder: int, target: str, inside: str, depth: int) -> None:
        """Copy what is in a directory; `inside` is its path in the tree, with a slash."""
        os.mkdir(target, files.PUBLIC)
        self._limit(depth <= DEPTH, f"more than {DEPTH} nested directories")
        for name in pinned.names(folder):
            self._entries += 1
            self._limit(self._entries <= ENTRIES, f"more than {ENTRIES} files")
            with suppress(FileNotFoundError):  # it was removed meanwhile
                self._entry(folder, name, os.path.join(target, name), inside + name, depth)

    def _limit(self, is_kept: bool, what: str) -> None:  # noqa: FBT001 - a condition
        if not is_kept:
            raise Refused(_refused(self._source, [what]))

    def _entry(self, folder: int, name: str, target: str, inside: str, depth: int) -> None:
        held = os.open(name, pinned.PINNED, dir_fd=folder)
        with ExitStack() as opened:
            opened.callback(os.close, held)
            if pinned.mount(held) != self._mount:
                self.refused.append(f"{inside!a} is on another mount")
                return  # not even its owner is read
            status = os.fstat(held)
            if why := _problem(name, status, self._owner):
                self.refused.append(f"{inside!a} {why}")
                return
            is_folder = stat.S_ISDIR(status.st_mode)
            flags = pinned.FOLDER if is_folder else os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
            source = os.open(pinned.path(held), flags)
            opened.callback(os.close, source)
            if is_folder:
                self._below(source, target, f"{inside}/", depth + 1)
            else:
                self._file(source, target)

    def _file(self, source: int, target: str) -> None:
        """Copy a file to a new one, with its time, by which servers know whether it has changed."""
        with files.opened(target, CREATED, files.PRIVATE) as made:
            while chunk := os.read(source, CHUNK):
                self._bytes += len(chunk)
                self._limit(self._bytes <= SIZE, f"more than {SIZE // 1024**3} GiB")
                files.write_all(made, chunk)
            status = os.fstat(source)
            os.utime(made, ns=(status.st_atime_ns, status.st_mtime_ns))
            os.fchmod(made, MODE)


def _problem(name: str, status: os.stat_result, owner: int) -> str:
    """Return why an inode is not copied; "" if it is."""
    is_file, is_link = stat.S_ISREG(status.st_mode), stat.S_ISLNK(status.st_mode)
    is_known = is_file or is_link or stat.S_ISDIR(status.st_mode)
    found = {
        "has a name that cannot be printed": not name.isprintable(),
        "is a symlink": is_link,
        "is neither a file nor a directory": not is_known,
        f"belongs to the user {status.st_uid}": status.st_uid != owner,
        "is a hard link": is_file and status.st_nlink != 1 and owner != os.geteuid(),
    }
    return next((why for why, is_so in found.items() if is_so), "")

"""uv's cache on a host: one user at a time, no half-written file is trusted, its size is limited.

It grows by the unpacked size of each new wheel. Venvs on the same file system share its files as
hard links, so only the files that it alone has count.
"""

import os
import stat
from contextlib import contextmanager
from typing import Iterator

from ..system import files
from ..system.paths import Paths

WAIT = 600.0  # seconds for another app's installation on this host
LIMIT = 4 * 1024**3  # bytes that no venv shares


@contextmanager
def trusted(paths: Paths) -> Iterator[None]:
    """Lock the cache, and mark it as trusted only once all of it is on the disk.

    uv does not fsync: after a power cut its cache may have empty files, which every later venv
    would share. A mark is set meanwhile; a cache with the mark is deleted.

    Raises:
        files.Locked: another installation takes longer than WAIT.
    """
    mark = _mark(paths)
    with files.lock(_lock(paths), wait=WAIT):
        if os.path.exists(mark):
            files.remove_tree(paths.uv_cache)
        files.make_directory(paths.uv_cache, files.PRIVATE)
        files.write(mark, b"", 0o600)
        yield
        files.sync_filesystem(paths.uv_cache)
        files.unlink(mark)


def distrust(paths: Paths) -> None:
    """Delete the cache, because a file that a release shares with it was changed.

    Raises:
        files.Locked: another installation takes longer than WAIT.
    """
    with files.lock(_lock(paths), wait=WAIT):
        files.write(_mark(paths), b"", 0o600)


def limit(paths: Paths, most: int = LIMIT) -> None:
    """Delete the cache if its own files take more than `most` bytes, unless it is in use.

    The venvs keep the files that they share; the next one is unpacked from its wheels again.
    """
    try:
        with files.lock(_lock(paths)):
            if _alone(paths.uv_cache) > most:
                files.remove_tree(paths.uv_cache)
    except files.Locked:
        return  # the next call checks again


def _alone(top: str) -> int:
    """Return the bytes of the files below a directory that have no other hard link."""
    total, folders = 0, [top]
    while folders:
        try:
            with os.scandir(folders.pop()) as found:
                entries = [(entry.path, entry.stat(follow_symlinks=False)) for entry in found]
        except FileNotFoundError:
            continue
        folders += [path for path, status in entries if stat.S_ISDIR(status.st_mode)]
        total += sum(s.st_blocks * 512 for _, s in entries if _is_alone(s))
    return total


def _is_alone(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1


def _mark(paths: Paths) -> str:
    return paths.uv_cache + ".dirty"


def _lock(paths: Paths) -> str:
    return paths.uv_cache + ".lock"

"""uv's cache on a host: one user at a time, no half-written file is trusted, its size is limited.

It grows by the unpacked size of each new wheel. Venvs on the same file system share its files as
hard links, so only the files that it alone has count.
"""

import os
import stat
from contextlib import contextmanager, suppress
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
    with files.lock(paths.uv_cache_lock, wait=WAIT):
        if os.path.exists(paths.uv_cache_mark):
            files.remove_tree(paths.uv_cache)
        files.make_directory(paths.uv_cache, files.PRIVATE)
        files.write(paths.uv_cache_mark, b"", 0o600)
        yield
        files.sync_filesystem(paths.uv_cache)
        files.unlink(paths.uv_cache_mark)


def distrust(paths: Paths) -> None:
    """Delete the cache, because a file that a release shares with it was changed.

    Raises:
        files.Locked: another installation takes longer than WAIT.
    """
    with files.lock(paths.uv_cache_lock, wait=WAIT):
        files.write(paths.uv_cache_mark, b"", 0o600)


def limit(paths: Paths, most: int = LIMIT) -> None:
    """Delete the cache if its own files take more than `most` bytes, unless it is in use.

    The venvs keep the files that they share; the next one is unpacked from its wheels again.
    """
    with suppress(files.Locked), files.lock(paths.uv_cache_lock):  # else the next call checks again
        if _alone(paths.uv_cache) > most:
            files.remove_tree(paths.uv_cache)


def _alone(top: str) -> int:
    """Return the bytes of the files below a directory that have no other hard link."""
    found = files.below(top) if os.path.isdir(top) else ()
    states = [entry.stat(follow_symlinks=False) for entry in found]
    alone = (each for each in states if stat.S_ISREG(each.st_mode) and each.st_nlink == 1)
    return sum(each.st_blocks * 512 for each in alone)

"""uv's cache on a host: one installs at a time, nothing half-written is trusted, and it is bounded.

It grows by the unpacked size of each new wheel. The venvs of the releases share that with it as
hard links where the app's root is on the same file system, so what counts is what it alone has.
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
    """Hold the cache alone, and leave it trusted only once everything in it is on the disk.

    uv does not fsync: after a power cut its cache may have files of the right name and no content,
    which every later venv would share. A mark says so; a cache that bears it is thrown away.

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
    """Have the next venv unpacked from its wheels: a file that a release shares was changed.

    Raises:
        files.Locked: another installation takes longer than WAIT.
    """
    with files.lock(_lock(paths), wait=WAIT):
        files.write(_mark(paths), b"", 0o600)


def limit(paths: Paths, most: int = LIMIT) -> None:
    """Throw the cache away where it alone takes more than `most` bytes, and nobody installs.

    The venvs keep what they share with it; the next one is unpacked from its wheels again.
    """
    try:
        with files.lock(_lock(paths)):
            if _alone(paths.uv_cache) > most:
                files.remove_tree(paths.uv_cache)
    except files.Locked:
        return  # the next one looks again


def _alone(top: str) -> int:
    """Return the bytes of the files below a directory that have no name elsewhere."""
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

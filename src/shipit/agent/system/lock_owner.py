"""Find out whether a process of this user holds a lock on a file that others may have opened.

flock(2) needs only a read descriptor, so any user who ever opened a readable lock file can hold it
for any time. Only Linux's /proc shows the owner.
"""

import os
from contextlib import suppress
from typing import Iterator, Tuple


def is_exposed(status: os.stat_result) -> bool:
    """Whether another user could open, and so hold, a lock file with this status."""
    return bool(status.st_mode & 0o077) or status.st_uid != os.geteuid()


def holds_one_of_ours(path: str, status: os.stat_result) -> bool:
    """Whether a process of this user, and not a setuid program, holds the lock."""
    wanted = (status.st_dev, status.st_ino)
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):  # the process has ended
            if _is_ours(pid) and any(_locks(*each, wanted) for each in _open(pid, path)):
                return True
    return False


def _is_ours(pid: str) -> bool:
    """Compare all four user ids: a setuid program keeps the real one of its caller."""
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as stream:
        ids = next(line.split()[1:] for line in stream if line.startswith("Uid:"))
    return set(ids) == {str(os.geteuid())}


def _open(pid: str, path: str) -> Iterator[Tuple[str, str]]:
    """Yield the descriptors that may be of this file, by its name: a stat could hang on NFS."""
    name = os.path.basename(path)
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        with suppress(OSError):
            target = os.readlink(f"/proc/{pid}/fd/{descriptor}")
            if os.path.basename(target) in (name, f"{name} (deleted)"):
                yield pid, descriptor


def _locks(pid: str, descriptor: str, wanted: Tuple[int, int]) -> bool:
    with suppress(OSError):
        status = os.stat(f"/proc/{pid}/fd/{descriptor}")
        if (status.st_dev, status.st_ino) == wanted:
            with open(f"/proc/{pid}/fdinfo/{descriptor}", encoding="utf-8") as stream:
                return "FLOCK" in stream.read()
    return False

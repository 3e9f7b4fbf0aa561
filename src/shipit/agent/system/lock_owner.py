"""Find out whether a process of this user holds a lock on a file that others may have opened.

flock(2) needs only a read descriptor, so any user who ever opened a readable lock file can hold it
for any time. Only Linux's /proc shows the owner.
"""

import os
from contextlib import suppress

from . import processes


def is_exposed(status: os.stat_result) -> bool:
    """Whether another user could open, and so hold, a lock file with this status."""
    return bool(status.st_mode & 0o077) or status.st_uid != os.geteuid()


def holds_one_of_ours(path: str, status: os.stat_result) -> bool:
    """Whether a process of this user, and not a setuid program, holds the lock."""
    pids = filter(str.isdigit, os.listdir(processes.PROC))
    return any(_is_ours(pid) and _locks(pid, os.path.basename(path), status) for pid in pids)


def _is_ours(pid: str) -> bool:
    """Compare all four user ids: a setuid program keeps the real one of its caller."""
    rows = processes.read(pid, "status").splitlines()
    ids = next((row.split()[1:] for row in rows if row.startswith("Uid:")), [])
    return set(ids) == {str(os.geteuid())}


def _locks(pid: str, name: str, wanted: os.stat_result) -> bool:
    """Compare the names of open files first: a stat could hang on NFS."""
    with suppress(OSError):  # the process has ended
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                link = f"/proc/{pid}/fd/{descriptor}"
                if os.path.basename(os.readlink(link)) in (name, f"{name} (deleted)"):
                    is_same = os.path.samestat(os.stat(link), wanted)
                    if is_same and "FLOCK" in processes.read(pid, f"fdinfo/{descriptor}"):
                        return True
    return False

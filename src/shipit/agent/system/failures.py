"""Turn errors on a host into a `Failure` with a hint what to do.

Catches nothing by itself: a step raises `Refused`, and its caller maps an `OSError` of the disk.
Anything else that escapes a step is a bug of shipit, and is reported as such at the process edge.
"""

import errno
import os
from shlex import quote
from typing import Dict, Tuple

from ..protocol.messages import Failure

BECOME_ROOT = "the agent must run as root: set ansible_become: true, or log in as root"
TRY_AGAIN = 75  # exit status (EX_TEMPFAIL): systemd starts it again, as often as its unit allows
SPARE_BYTES, SPARE_INODES = 1024 * 1024, 4  # with so many bytes free, so few inodes are none
# errno -> (code, what, hint)
NAMED: Dict[int, Tuple[str, str, str]] = {
    errno.ENOSPC: (
        "disk-full",
        "no space is left on the device",
        "free some (df -h and df -i show both limits), or lower keep_releases",
    ),
    errno.EDQUOT: ("disk-full", "the disk quota is used up", "raise it or free some space"),
    errno.EROFS: (
        "read-only",
        "the file system is mounted read-only",
        "see why (dmesg | grep -i remount), then mount it writable again",
    ),
    errno.EIO: ("disk-broken", "the disk reports an error", "look at dmesg: it may be dying"),
    errno.EACCES: ("permission-denied", "permission denied", BECOME_ROOT),
    errno.EPERM: ("permission-denied", "operation not permitted", BECOME_ROOT),
}
# What child programs print when the disk fails.
SPOKEN: Dict[str, int] = {
    "no space left on device": errno.ENOSPC,
    "disk quota exceeded": errno.EDQUOT,
    "read-only file system": errno.EROFS,
}


class Refused(Exception):
    """A step cannot continue, for a reason that an operator can fix."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.what)
        self.failure = failure


def from_os_error(error: OSError, step: str) -> Failure:
    """Return the failure for an error of the operating system, with the path it is about."""
    path = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""
    code, what, hint = NAMED.get(error.errno or 0, ("os-error", error.strerror or str(error), ""))
    if error.errno == errno.ENOSPC and path and inodes_used_up(path):
        code, what = "no-inodes", "no inode is left"
        hint = "many small files use them up; df -i shows on which file system"
    elif error.errno == errno.EACCES and os.geteuid() == 0:
        if path and is_noexec(path):
            what = f"{path} can't be executed: its file system is mounted noexec"
            hint = (
                f"mount it with exec, as shipit executes programs there: findmnt -T {quote(path)}"
            )
            return Failure("noexec", what, step, hint)
        hint = "even root is denied: check for a network file system, SELinux or AppArmor"
    return Failure(code, f"{what}: {path}" if path else what, step, hint)


def is_noexec(path: str) -> bool:
    """Whether the file system of `path` is mounted noexec."""
    try:
        return bool(os.statvfs(existing(path)).f_flag & os.ST_NOEXEC)
    except OSError:
        return False


def from_output(code: str, what: str, step: str, output: str) -> Failure:
    """Return the failure of a program; names a disk's failure found in its output."""
    lowered = output.lower()
    for words, number in SPOKEN.items():
        if words in lowered:
            code, cause, hint = NAMED[number]
            return Failure(code, f"{what}: {cause}", step, hint, output)
    return Failure(code, what, step, evidence=output)


def inodes_used_up(path: str) -> bool:
    """Whether the file system of `path` lacks inodes, not bytes; some have no fixed number of them.

    The failed operation may have freed a few again.
    """
    try:
        space = os.statvfs(existing(path))
    except OSError:
        return False
    has_bytes = space.f_bavail * space.f_frsize >= SPARE_BYTES
    return space.f_files > 0 and space.f_favail <= (SPARE_INODES if has_bytes else 0)


def existing(path: str) -> str:
    """Return `path`, or its nearest existing parent."""
    while not os.path.exists(path) and path not in ("", "/"):
        path = os.path.dirname(path)
    return path or "/"

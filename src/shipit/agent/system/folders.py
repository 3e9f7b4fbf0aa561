"""The folders of shipit on a host, and their permissions.

Only root may enter them: another user could hold a lock that it can open, and root acts upon the
files there. Each session and driver first closes folders of earlier versions, which others could
read. Their content is not changed: see files.lock for the locks.
"""

import errno
import os
import stat
from typing import Tuple

from ..protocol.messages import Failure
from . import accounts, files, trust
from .failures import Refused
from .paths import Paths


def folders(paths: Paths) -> Tuple[str, ...]:
    """Return all folders, parents first."""
    incoming, txn = os.path.dirname(paths.incoming("")), os.path.dirname(paths.journal)
    controls, watch = os.path.dirname(paths.controls), os.path.dirname(paths.watch)
    blobs = (os.path.dirname(paths.blobs), paths.blobs, incoming, paths.wheels)
    records = (paths.apps, txn, controls, watch)
    return (paths.var, paths.agents, *records, *blobs, paths.tools, paths.uv_cache)


def secure(paths: Paths) -> None:
    """Close the existing folders to other users; writes nothing if they are closed.

    Raises:
        Refused: store-not-ours: a folder is a link, or belongs to another user in part.
    """
    for folder in folders(paths):
        try:
            status = os.lstat(folder)
        except FileNotFoundError:
            continue
        if not stat.S_ISDIR(status.st_mode):
            raise Refused(_not_ours(folder, "is not a directory"))
        _require_own(folder, status.st_uid)
        if stat.S_IMODE(status.st_mode) != files.PRIVATE:
            _close(folder, was_open=bool(status.st_mode & trust.OTHERS_WRITE))


def make(paths: Paths, *wanted: str) -> None:
    """Create some of the folders, and their parents."""
    for folder in folders(paths):
        if any(path == folder or path.startswith(folder + "/") for path in wanted):
            files.make_directory(folder, files.PRIVATE)


def make_public(folder: str) -> None:
    """Make a folder that every user may enter, and root alone may change.

    Raises:
        Refused: store-not-ours: it is a link, or belongs to another user.
    """
    if not os.path.lexists(folder):
        files.make_directory(folder)
        os.chmod(folder, files.PUBLIC)
    status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode):
        raise Refused(_not_ours(folder, "is not a directory"))
    _require_own(folder, status.st_uid)
    if status.st_mode & trust.OTHERS_WRITE:
        raise Refused(_not_ours(folder, "can be changed by other users"))


def _close(folder: str, *, was_open: bool) -> None:
    try:
        with files.opened(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW) as descriptor:
            os.fchmod(descriptor, files.PRIVATE)
    except OSError as error:
        if was_open or error.errno != errno.EROFS:
            raise
        return  # the preflight reports this disk
    for entry in files.entries(folder) if was_open else ():
        _require_own(entry.path, entry.stat(follow_symlinks=False).st_uid)


def _require_own(path: str, owner: int) -> None:
    if owner != os.geteuid():
        raise Refused(_not_ours(path, f"belongs to {accounts.user_name(owner)}"))


def _not_ours(path: str, why: str) -> Failure:
    hint = f"check what it is (ls -ld {path}), then remove it: shipit creates it again"
    return Failure("store-not-ours", f"{path} {why}; it must belong to root alone", "", hint)

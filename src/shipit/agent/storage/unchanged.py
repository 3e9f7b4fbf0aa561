"""Check without reading its bytes whether a release is unchanged since it was last verified.

A release is not changed once it is staged. A stamp in its directory has the time of the last
verification; without it, or if anything is younger, verify again (drift.of).
"""

import os
from contextlib import suppress

from ..records import history, releases
from ..system import files
from ..system.paths import Paths
from . import pythons

CACHE = "__pycache__"  # bytecode is not verified
MODE = 0o600


def stamp(paths: Paths, release: str, when: int) -> None:
    """Record that the release was verified; `when`: nanoseconds since the epoch, before it began.

    A full disk costs another verification, nothing else.
    """
    path = paths.release(release).verified_stamp
    with suppress(OSError):
        files.write(path, b"", MODE, sync=False)
        os.utime(path, ns=(when, when))


def forget(paths: Paths, release: str) -> None:
    """Record that the release has changed."""
    with suppress(OSError):
        files.unlink(paths.release(release).verified_stamp)


def since_verified(paths: Paths, release: str) -> bool:
    """Whether nothing of a release, its wheels or its Python was touched since it was verified."""
    found = releases.manifest(paths, release)
    expected = history.manifest_digest(history.entries(paths), release)
    if found is None or (expected and releases.manifest_digest(paths, release) != expected):
        return False
    if found.python and not pythons.is_untouched(paths, found.python.sha256):
        return False
    of = paths.release(release)
    folders = [*filter(os.path.lexists, (of.venv, of.units, of.trial, of.files, of.env))]
    try:
        verified = os.stat(of.verified_stamp).st_mtime_ns
        wheels = [os.stat(paths.blob(item.sha256)) for item in found.artifacts()]
        inside = files.below(*folders, without=CACHE)
        content = [entry.stat(follow_symlinks=False) for entry in inside]
        touched = map(files.touched, [*wheels, *map(os.lstat, folders), *content])
    except OSError:  # a missing file is a change
        return False
    return os.access(of.python, os.X_OK) and max(touched, default=verified) <= verified

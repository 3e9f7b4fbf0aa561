"""Whose signatures this host asks for: a file of its administrator, in ssh's own format.

Whatever lies at its path counts. One that is not readable, or that others can change, does not
switch the rule off: it lets no release in.
"""

import os
import stat
from typing import Optional

from ..protocol.messages import Failure
from . import trust
from .paths import Paths

STEP = "signature"
SIZE_LIMIT = 1024 * 1024  # bytes


def are_asked_for(paths: Paths) -> bool:
    """Whether this host takes signed releases alone. Doubt counts as yes."""
    folder = os.path.dirname(paths.signers)
    try:
        os.lstat(paths.signers)
    except FileNotFoundError:
        return os.path.islink(folder) and not os.path.exists(folder)
    except OSError:
        return True
    return True


def problem(paths: Paths) -> Optional[Failure]:
    """Return why the file cannot be used; None if it can."""
    path = paths.signers
    try:
        weak = next(iter(trust.weaknesses(path)), None)
        status = os.stat(path)
    except OSError as error:
        return _unusable(path, f"cannot be read: {error.strerror}")
    if weak:
        what = f"users other than root can change {path}, which says who may sign releases: {weak}"
        return Failure("signers-untrusted", what, STEP, weak.cure)
    if not stat.S_ISREG(status.st_mode):
        return _unusable(path, "is not a file")
    if status.st_size > SIZE_LIMIT:
        return _unusable(path, f"has more than {SIZE_LIMIT} bytes")
    return None


def _unusable(path: str, why: str) -> Failure:
    what = f"{path}, which says who may sign releases, {why}"
    hint = "as root of the host: repair it, or remove it to take unsigned releases again"
    return Failure("signers-unusable", what, STEP, hint)

"""The paths of findings, as tools that show them at the source expect them. Pure."""

from __future__ import annotations

import os.path
from pathlib import PurePath


def relative(file: str, here: PurePath) -> str:
    """Return a path relative to a folder that it is in, with slashes; else the absolute path.

    Args:
        file: absolute, or relative to `here`.
        here: an absolute path.
    """
    path = PurePath(os.path.normpath(here / file))
    return (path.relative_to(here) if path.is_relative_to(here) else path).as_posix()

"""Make directories that lie deeper in each other than any path reaches, as an app's user may."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = os.O_RDONLY | os.O_DIRECTORY


def make(top: Path, depth: int) -> None:
    """Make so many nested directories in one that is there, each with a file."""
    folder = os.open(top, FOLDER)
    for _ in range(depth):
        os.close(os.open("file", os.O_CREAT, dir_fd=folder))
        os.mkdir("nested", dir_fd=folder)
        inside = os.open("nested", FOLDER, dir_fd=folder)
        os.close(folder)
        folder = inside
    os.close(folder)

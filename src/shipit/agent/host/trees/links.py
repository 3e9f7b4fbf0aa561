"""Make a directory of hard links to files of root."""

import os
from typing import Mapping

from ...system import files


def make(target: str, links: Mapping[str, str]) -> None:
    """Make a directory with a link to each of these files, by its path in there.

    It is not there before it is whole and on the disk.

    Raises:
        OSError: the disk is full, for instance.
    """
    beside = f"{target}.{os.getpid()}.new"
    files.remove(beside)
    try:
        for folder in ("", *sorted({os.path.dirname(name) for name in links} - {""})):
            path = os.path.join(beside, folder)
            files.make_directory(path, files.PUBLIC)
        for name, path in links.items():
            os.link(path, os.path.join(beside, name), follow_symlinks=False)
        files.sync_filesystem(beside)
        os.rename(beside, target)
    except BaseException:
        files.remove(beside)
        raise
    files.sync_directory(os.path.dirname(target))

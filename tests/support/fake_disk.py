"""A full disk for tests: a replacement of the module `os` for `shipit.agent.system.files`.

Counts the calls that need space or an inode, and fails a range of them. As on a real full disk,
existing files may be opened and removed.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

NEEDING_ROOM = ("write", "fsync", "rename", "link", "symlink", "makedirs")


class FullDisk:
    """Replaces the module `os`."""

    def __init__(
        self, full: range = range(0), meanwhile: Callable[[str], object] = lambda _what: None
    ) -> None:
        """`meanwhile` is called before each change, to act as another process."""
        self._full, self._meanwhile = full, meanwhile
        self.changes: list[str] = []

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever os has
        real = getattr(os, name)
        if name not in NEEDING_ROOM:
            return real

        def limited(*given: Any, **named: Any) -> Any:  # noqa: ANN401 - as the real one
            self._change(name, given[0])
            return real(*given, **named)

        return limited

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT and not os.path.exists(path):  # noqa: PTH110 - as os does
            self._change("create", path)
        return os.open(path, flags, mode)

    def free(self) -> None:
        """Let every write succeed from now on."""
        self._full = range(0)

    def _change(self, what: str, where: object) -> None:
        moment = len(self.changes)
        self._meanwhile(what)
        self.changes.append(f"{what} {where}")
        if moment in self._full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), where)

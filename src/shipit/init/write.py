"""Write new files into a project: whole or not at all, and never over what is there."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from shipit.errors import InputError, Mistake, Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def create(path: Path, text: str) -> bool:
    """Create a file, and return whether it was: False if something of that name is there.

    Raises:
        InputError: init-unwritable.
    """
    with _temporary(path, text) as part:
        try:
            os.link(part, path)  # a rename would replace what another process has just written
        except FileExistsError:
            return False
        except OSError:  # a filesystem without hard links
            if os.path.lexists(path):
                return False
            part.rename(path)
        _sync(path.parent)
    return True


def append(path: Path, lines: list[str]) -> None:
    """Add lines to a text file, which keeps its mode; create it if it is missing.

    Raises:
        InputError: init-unwritable.
    """
    with _reported(path):
        is_there = path.exists()
        before = path.read_text(encoding="utf-8") if is_there else ""
        mode = path.stat().st_mode if is_there else None
    newline = "" if before.endswith("\n") or not before else "\n"
    with _temporary(path, "".join([before, newline, *(f"{line}\n" for line in lines)])) as part:
        if mode is not None:
            part.chmod(mode)
        part.rename(path)
        _sync(path.parent)


@contextmanager
def _temporary(path: Path, text: str) -> Iterator[Path]:
    """Give a file beside the path with this text, which is on the disk; remove what is left."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with _reported(path):
        try:
            with os.fdopen(os.open(part, _NEW, 0o666), "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            yield part
        finally:
            with suppress(FileNotFoundError):
                part.unlink()


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = f"the file cannot be written: {error.strerror}"
        hint = "make the folder writable, or free some space; or write the file by hand: --check"
        raise InputError(Mistake("init-unwritable", what, Place(str(path)), hint)) from error

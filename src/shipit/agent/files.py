"""Change the disk so that a power cut leaves the old or the new, never half of it."""

import errno
import fcntl
import json
import os
import shutil
import stat
import time
from contextlib import contextmanager
from typing import Any, Iterator, List, Optional

from . import process

SYNC_TIMEOUT = 300.0  # seconds; a slow disk with much to write


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Let an error about an open file name its path: the system's own does not."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or path
        raise


def write(path: str, content: bytes, mode: int = 0o644, *, sync: bool = True) -> None:
    """Make `path` hold `content`: written beside it, fsynced, renamed, its directory fsynced.

    The content is never readable under a wider mode than the one asked for. `sync`: False for what
    is worth nothing after a power cut.
    """
    beside = f"{path}.{os.getpid()}.new"
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with naming(path), os.fdopen(descriptor, "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(content)
            stream.flush()
            if sync:
                os.fsync(stream.fileno())
        os.rename(beside, path)
    except BaseException:
        unlink(beside)
        raise
    if sync:
        sync_directory(os.path.dirname(path))


def append_line(path: str, line: bytes, mode: int = 0o644) -> None:
    """Append one line and fsync it; a half-written last line of a crash is first ended."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, mode)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        with naming(path):
            _write_all(descriptor, (b"\n" if torn else b"") + line + b"\n")
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_directory(os.path.dirname(path))


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def point(link: str, target: str) -> None:
    """Make the symlink `link` point at `target` by rename(2): it is never absent.

    One that does already is left alone: that needs no room.
    """
    if os.path.islink(link) and os.readlink(link) == target:
        sync_directory(os.path.dirname(link))
        return
    beside = f"{link}.{os.getpid()}.new"
    unlink(beside)
    try:
        os.symlink(target, beside)
    except OSError as error:
        error.filename = link  # it names the target
        raise
    os.rename(beside, link)
    sync_directory(os.path.dirname(link))


def claim(path: str, content: bytes) -> bool:
    """Make `path` hold `content` unless it exists already; the first caller wins, for good."""
    beside = f"{path}.{os.getpid()}.claim"
    write(beside, content)
    try:
        os.link(beside, path)
    except FileExistsError:
        return False
    finally:
        unlink(beside)
    sync_directory(os.path.dirname(path))
    return True


def sync_directory(path: str) -> None:
    descriptor = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_filesystem(path: str) -> None:
    """Put everything written to the file system of `path` on the disk: a whole venv at once."""
    done = process.run(["sync", "-f", path], timeout=SYNC_TIMEOUT)
    if not done.ok:
        what = f"what was written is not on the disk: sync {done.end(SYNC_TIMEOUT)}"
        raise OSError(errno.EIO, what, path)


def unlink(path: str) -> None:
    """Remove a file; it may be gone already."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def touch(path: str) -> None:
    """Mark a file as used now; it may be gone already."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return


def remove_tree(path: str) -> None:
    """Remove a directory tree. It is renamed first, so that half of it is never taken for it."""
    doomed = f"{path}.{os.getpid()}.old"
    try:
        os.rename(path, doomed)
    except FileNotFoundError:
        return
    shutil.rmtree(doomed)


def make_directory(path: str, mode: int = 0o755) -> None:
    """Make a directory and its parents; an existing one keeps its mode."""
    os.makedirs(path, mode=mode, exist_ok=True)


def read_json(path: str) -> Optional[Any]:
    """Return the JSON in a file; None when there is none or it is torn."""
    try:
        with open(path, "rb") as stream:
            return json.loads(stream.read())
    except (FileNotFoundError, ValueError):
        return None


def read_text(path: str) -> str:
    """Return the text of a file; "" where there is none."""
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        return ""


def read_json_lines(path: str) -> List[Any]:
    """Return the JSON values of a file of lines; a torn line is left out."""
    try:
        with open(path, "rb") as stream:
            lines = stream.read().split(b"\n")
    except FileNotFoundError:
        return []
    return [value for value in map(_parsed, lines) if value is not None]


def _parsed(line: bytes) -> Optional[Any]:
    try:
        return json.loads(line)
    except ValueError:
        return None


def is_real_directory(path: str) -> bool:
    """Whether a directory, not a symlink to one, stands at `path`."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


class Locked(Exception):
    """Another process holds the lock."""


@contextmanager
def lock(path: str, note: bytes = b"", wait: float = 0.0) -> Iterator[None]:
    """Hold the kernel's lock on `path`; it dies with the process. `note` says whose it is.

    Raises:
        Locked: another process still holds it after `wait` seconds.
    """
    make_directory(os.path.dirname(path))
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _acquire(descriptor, path, wait)
        _leave(descriptor, note)
        yield
    finally:
        os.close(descriptor)


def _leave(descriptor: int, note: bytes) -> None:
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, note, 0)
    except OSError:
        return  # a full disk: the lock is held all the same, by somebody who can't be named


def _acquire(descriptor: int, path: str, wait: float) -> None:
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise Locked(path) from None
            time.sleep(0.02)
        else:
            return


def lock_note(path: str) -> Optional[bytes]:
    """Return what the live holder of a lock says of itself; None when nobody holds it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(descriptor, 65536, 0)
    finally:
        os.close(descriptor)
    return None

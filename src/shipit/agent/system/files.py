"""Change the disk so that a power cut leaves the old or the new, never half of it."""

import errno
import fcntl
import json
import os
import re
import shutil
import stat
import time
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO, Iterator, List, Optional

from . import lock_owner, process

SYNC_TIMEOUT = 300.0  # seconds; a slow disk with much to write
PRIVATE = 0o700  # of a directory that only its owner looks into
READ_LIMIT = 64 * 1024 * 1024  # bytes of a file of ours: the records of 200,000 deploys
NOTE_LIMIT = 65536  # bytes
LOCK_PAUSE = 0.02  # seconds
REPAIR_WAIT = 10.0  # seconds; it is held for two calls of the disk
# Of a write or a removal that was killed. A process has 7 digits at most, a date has 8.
LEFTOVER = re.compile(r".+\.\d{1,7}\.(new|claim|old)")


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
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(beside, flags, 0o600)
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
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, mode)
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


def claim(path: str, content: bytes, mode: int = 0o600) -> bool:
    """Make `path` hold `content` unless it exists already; the first caller wins, for good."""
    beside = f"{path}.{os.getpid()}.claim"
    write(beside, content, mode)
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
        what = f"writes could not be flushed to the disk: sync {done.end(SYNC_TIMEOUT)}"
        raise OSError(errno.EIO, what, path)


def unlink(path: str) -> None:
    """Remove a file; it may be gone already."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def remove(path: str) -> None:
    """Remove a file, a link or a directory tree, as far as that can be done."""
    if is_real_directory(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        unlink(path)


def touch(path: str) -> None:
    """Mark a file as used now; it may be gone already."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return


def remove_tree(path: str) -> None:
    """Remove a directory tree. It is renamed first, so that half of it is never taken for it."""
    marked = f"{path}.{os.getpid()}.old"
    try:
        os.rename(path, marked)
    except FileNotFoundError:
        return
    shutil.rmtree(marked)


def make_directory(path: str, mode: int = 0o755) -> None:
    """Make a directory and its parents; an existing one keeps its mode."""
    os.makedirs(path, mode=mode, exist_ok=True)


class NotOurs(Exception):
    """What lies at a path is no plain file that only we can have written; the text says why."""


def read_own(path: str, limit: int) -> bytes:
    """Return the content of a file that only we can have written.

    Raises:
        NotOurs: it is a link, a directory or somebody else's.
        OSError: it is not there, or the disk can't read it, or it is too large.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotOurs("it is a symbolic link") from None
        raise
    with ExitStack() as opened:
        opened.callback(os.close, descriptor)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise NotOurs("it is no file")
        if status.st_uid != os.geteuid():
            raise NotOurs(f"it belongs to the user {status.st_uid}")
        with naming(path), os.fdopen(descriptor, "rb", closefd=False) as stream:
            return _whole(stream, limit)


def _whole(stream: BinaryIO, limit: int = READ_LIMIT) -> bytes:
    content = stream.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return content


def read_json(path: str) -> Optional[Any]:
    """Return the JSON in a file; None when there is none or it is torn."""
    try:
        with open(path, "rb") as stream, naming(path):
            return json.loads(_whole(stream))
    except (FileNotFoundError, ValueError, RecursionError):
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
        with open(path, "rb") as stream, naming(path):
            lines = _whole(stream).split(b"\n")
    except FileNotFoundError:
        return []
    return [value for value in map(_parsed, lines) if value is not None]


def _parsed(line: bytes) -> Optional[Any]:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
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
def lock(
    path: str, note: bytes = b"", wait: float = 0.0, *, shared: bool = False
) -> Iterator[None]:
    """Hold the kernel's lock on `path`; it dies with the process. `note` says whose it is.

    Nobody else can open the file, and so nobody else can hold it. `shared`: beside others that
    share it, and without a note.

    Raises:
        Locked: another process still holds it after `wait` seconds.
    """
    make_directory(os.path.dirname(path), PRIVATE)
    descriptor = _acquired(path, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, wait)
    try:
        if not shared:
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


def _acquired(path: str, kind: int, wait: float) -> int:
    """Return a descriptor that holds the lock on what `path` names now."""
    deadline = time.monotonic() + wait
    while True:
        try:
            descriptor = _tried(path, kind)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise Locked(path) from None
            time.sleep(LOCK_PAUSE)
        else:
            if descriptor is not None:
                return descriptor


def _tried(path: str, kind: int) -> Optional[int]:
    """Return a descriptor with the lock; None where another file has come to be at `path`."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with ExitStack() as opened:
        opened.callback(os.close, descriptor)
        if _has_retired(descriptor, path):
            return None
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        if not _is_at(path, os.fstat(descriptor)):
            return None
        opened.pop_all()
        return descriptor


def _has_retired(descriptor: int, path: str) -> bool:
    """Make way for a new file where others may have this one open; say whether that was so.

    Earlier versions left lock files that everybody could read. A change of mode would not take it
    from who has it open. One that a process of ours holds is left: it is at work.
    """
    status = os.fstat(descriptor)
    if not lock_owner.is_exposed(status) or lock_owner.holds_one_of_ours(path, status):
        return False
    guard = os.path.join(os.path.dirname(path), "repair.lock")
    with lock(guard, wait=REPAIR_WAIT):  # else the file that another has just made could go
        if _is_at(path, status):
            unlink(path)
    return True


def _is_at(path: str, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.lstat(path), status)
    except FileNotFoundError:
        return False


def lock_note(path: str) -> Optional[bytes]:
    """Return what the live holder of a lock says of itself; None when nobody of ours holds it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        status = os.fstat(descriptor)
        if lock_owner.is_exposed(status) and not lock_owner.holds_one_of_ours(path, status):
            return None
        return os.pread(descriptor, NOTE_LIMIT, 0)
    finally:
        os.close(descriptor)
    return None

"""Change files atomically: a power cut leaves the old or the new content, never half of it."""

import errno
import fcntl
import json
import os
import re
import stat
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, BinaryIO, Iterator, List, Optional, Union

from . import lock_owner, process, removal

SYNC_TIMEOUT = 300.0  # seconds; a slow disk with much to write
PRIVATE = 0o700  # mode of a directory that only its owner can read
PUBLIC = 0o755  # of one that everybody can read
READ_LIMIT = 64 * 1024 * 1024  # bytes of a file of shipit: the records of 200,000 deploys
NOTE_LIMIT = 65536  # bytes
LOCK_PAUSE = 0.02  # seconds
REPAIR_WAIT = 10.0  # seconds; it is held for two system calls
# Leftovers of a killed write or removal. A pid has at most 7 digits, a date has 8.
LEFTOVER = re.compile(r".+\.\d{1,7}\.(new|claim|old)")


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Add the path to an error of an open file, which the system's own lacks."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or path
        raise


@contextmanager
def opened(path: str, flags: int, mode: int = 0o600) -> Iterator[int]:
    """Open a path for a `with` block; errors of its descriptor there get the path."""
    descriptor = os.open(path, flags | os.O_CLOEXEC, mode)
    try:
        with naming(path):
            yield descriptor
    finally:
        os.close(descriptor)


def write(
    path: str, content: bytes, mode: int = 0o644, *, sync: bool = True, sync_entry: bool = True
) -> None:
    """Write `content` to `path` atomically: write beside it, fsync, rename, fsync the directory.

    The content is never readable under a wider mode than `mode`. `sync`: False for content that is
    useless after a power cut. `sync_entry`: False where the directory is put on the disk later: a
    power cut before leaves the old or the new content.
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
    if sync and sync_entry:
        sync_directory(os.path.dirname(path))


def append_line(path: str, line: bytes, mode: int = 0o644) -> None:
    """Append one line and fsync it; first terminate a line left incomplete by a crash."""
    with opened(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, mode) as descriptor:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        write_all(descriptor, (b"\n" if torn else b"") + line + b"\n")
        os.fsync(descriptor)
    sync_directory(os.path.dirname(path))


def write_all(descriptor: int, content: Union[bytes, memoryview]) -> None:
    """Write all of the content, which one write(2) may not."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def point(link: str, target: str, *, sync: bool = True) -> None:
    """Point the symlink `link` at `target` by rename(2): it is never absent.

    Skips a link that already does, which needs no space. `sync`: False for a link that is made
    again if a power cut takes it.
    """
    if os.path.islink(link) and os.readlink(link) == target:
        if sync:
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
    if sync:
        sync_directory(os.path.dirname(link))


def claim(path: str, content: bytes, mode: int = 0o600) -> bool:
    """Create `path` with `content` unless it exists: the first caller wins."""
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
    with opened(path or ".", os.O_RDONLY | os.O_DIRECTORY) as descriptor:
        os.fsync(descriptor)


def sync_filesystem(path: str) -> None:
    """Flush the file system of `path` to the disk: a whole venv at once."""
    done = process.run(["sync", "-f", path], timeout=SYNC_TIMEOUT)
    if not done.ok:
        what = f"writes could not be flushed to the disk: sync {done.end(SYNC_TIMEOUT)}"
        raise OSError(errno.EIO, what, path)


def unlink(path: str) -> None:
    """Remove a file, if it exists."""
    with suppress(FileNotFoundError):
        os.unlink(path)


def remove(path: str) -> None:
    """Remove a file, a link or a directory tree, as far as possible."""
    if is_real_directory(path):
        removal.remove(path)
    else:
        unlink(path)


def touch(path: str) -> None:
    """Set a file's times to now, if it exists."""
    with suppress(FileNotFoundError):
        os.utime(path)


def remove_tree(path: str) -> None:
    """Remove a directory tree as far as possible; its path is free afterwards.

    Renames it first, so that half of it is never mistaken for it.
    """
    marked = f"{path}.{os.getpid()}.old"
    remove(marked)  # what an earlier call could not
    try:
        os.rename(path, marked)
    except FileNotFoundError:
        return
    remove(marked)


def make_directory(path: str, mode: int = 0o755) -> None:
    """Create a directory and its parents; an existing one keeps its mode."""
    os.makedirs(path, mode=mode, exist_ok=True)


class NotOurs(Exception):
    """The path is no plain file that only this user can have written; the text says why."""


def read_own(path: str, limit: int) -> bytes:
    """Return the content of a file that only this user can have written.

    Raises:
        NotOurs: it is a link, a directory or another user's.
        OSError: it is missing, unreadable or too large.
    """
    try:
        with opened(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK) as descriptor:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise NotOurs("it is no file")
            if status.st_uid != os.geteuid():
                raise NotOurs(f"it belongs to the user {status.st_uid}")
            with os.fdopen(descriptor, "rb", closefd=False) as stream:
                return _whole(stream, limit)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotOurs("it is a symbolic link") from None
        raise


def _whole(stream: BinaryIO, limit: int = READ_LIMIT) -> bytes:
    content = stream.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return content


def _content(path: str) -> bytes:
    with open(path, "rb") as stream, naming(path):
        return _whole(stream)


def _parsed(content: bytes) -> Optional[Any]:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def read_json(path: str) -> Optional[Any]:
    """Return the JSON in a file; None if it is missing or torn."""
    try:
        return _parsed(_content(path))
    except FileNotFoundError:
        return None


def read_json_lines(path: str) -> List[Any]:
    """Return the JSON values of a file of lines; skips torn lines."""
    try:
        values = map(_parsed, _content(path).split(b"\n"))
    except FileNotFoundError:
        return []
    return [value for value in values if value is not None]


def remember(path: str, answers: Any) -> None:
    """Cache answers as JSON, unless the disk can't be written."""
    with suppress(OSError):
        make_directory(os.path.dirname(path))
        write(path, json.dumps(answers).encode())


def read_text(path: str) -> str:
    """Return the text of a file; "" if it is missing."""
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        return ""


def entries(folder: str) -> List["os.DirEntry[str]"]:
    """Return what is in a folder, by name; nothing if there is none."""
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except FileNotFoundError:
        return []


def below(*folders: str, without: str = "") -> Iterator["os.DirEntry[str]"]:
    """Yield all that is below some folders, except what has the name `without`. Follows no link."""
    waiting = list(folders)
    while waiting:
        with os.scandir(waiting.pop()) as found:
            for entry in found:
                if entry.name != without:
                    yield entry
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)


def touched(status: os.stat_result) -> int:
    """Return when a file was last changed, in nanoseconds since the epoch.

    The ctime can't be set back, but it changes with each hard link, which uv's cache and other
    releases create: for a file with several names the mtime counts.
    """
    is_shared = stat.S_ISREG(status.st_mode) and status.st_nlink > 1
    return status.st_mtime_ns if is_shared else max(status.st_mtime_ns, status.st_ctime_ns)


def is_real_directory(path: str) -> bool:
    """Whether `path` is a directory, not a symlink to one."""
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
    """Hold the kernel's lock on `path`, which ends with the process. `note` describes its owner.

    No other user can open the file, and so lock it. `shared`: a shared lock, without a note.

    Raises:
        Locked: another process still holds it after `wait` seconds.
    """
    make_directory(os.path.dirname(path), PRIVATE)
    kind, deadline = fcntl.LOCK_SH if shared else fcntl.LOCK_EX, time.monotonic() + wait
    descriptor: Optional[int] = None
    while descriptor is None:
        try:
            descriptor = _locked(path, kind)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise Locked(path) from None
            time.sleep(LOCK_PAUSE)
    try:
        if not shared:
            with suppress(OSError):  # a full disk: it is held, but its owner is not recorded
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, note, 0)
        yield
    finally:
        os.close(descriptor)


def _locked(path: str, kind: int) -> Optional[int]:
    """Return a descriptor with the lock; None if `path` was replaced meanwhile."""
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
    """Remove a lock file that other users may have open; return whether it was removed.

    Earlier versions left lock files that all users could read. A change of mode would not affect
    open descriptors. Keeps a file whose lock a process of this user holds.
    """
    status = os.fstat(descriptor)
    if not lock_owner.is_exposed(status) or lock_owner.holds_one_of_ours(path, status):
        return False
    guard = os.path.join(os.path.dirname(path), "repair.lock")
    with lock(guard, wait=REPAIR_WAIT):  # else another process's new file could be removed
        if _is_at(path, status):
            unlink(path)
    return True


def _is_at(path: str, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.lstat(path), status)
    except FileNotFoundError:
        return False


def lock_note(path: str) -> Optional[bytes]:
    """Return the note of a lock's live owner; None if no process of this user holds it."""
    with suppress(FileNotFoundError), opened(path, os.O_RDONLY | os.O_NOFOLLOW) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            status = os.fstat(descriptor)
            if not lock_owner.is_exposed(status) or lock_owner.holds_one_of_ours(path, status):
                return os.pread(descriptor, NOTE_LIMIT, 0)
    return None

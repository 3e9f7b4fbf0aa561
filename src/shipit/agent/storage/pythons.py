"""Keep the interpreters that came with releases: each is unpacked once, for all apps of the host.

    SHA256/                the content of an archive: root's, and readable for all
    SHA256.json            what is in there; written last, and a folder without it is not used
    SHA256.json.damaged    the record of one that differs from it: the next deploy unpacks it anew

An interpreter that was touched is compared with its record, whoever asks. Bytecode is compiled here
and not compared. One app unpacks at a time, and keeps no other from its own interpreter meanwhile.
"""

import json
import os
import re
import stat
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import Any, Dict, Iterable, Iterator, List, Optional, Tuple

from ..protocol.manifest import Artifact, Manifest, Python
from ..protocol.messages import Failure
from ..protocol.rules.archives import FILE, FOLDER, LINK
from ..system import files, folders
from ..system.failures import Refused, from_output
from ..system.paths import Paths
from ..system.process import run
from . import blobs

STEP = "build"
FORMAT = 1
RECORD_MODE = 0o600
CACHE = "__pycache__"
TICK = 20_000_000  # nanoseconds by which the time of a file may lie before its change
WAIT = 600.0  # seconds for another app: while it unpacks one, compares one, or puts it in its place
QUICK = 30.0  # seconds for its first answer
# What services hardly ever import: no bytecode is made for it.
RARE = re.compile(r"/(tests?|idle_test|idlelib|lib2to3|turtledemo|ensurepip|site-packages)/")
UNFINISHED = ".new-"  # how the names of folders begin that are being written or removed
VERSION = "import sys;print('%d.%d.%d'%sys.version_info[:3])"


# --- whether one is there ------------------------------------------------------------------------


def needed(paths: Paths, manifest: Manifest) -> Tuple[Artifact, ...]:
    """Return what has to be among the blobs for a release."""
    there = manifest.python is not None and is_sound(paths, manifest.python.sha256)
    return manifest.artifacts() if there else manifest.sent()


def present(paths: Paths, wanted: Iterable[str]) -> Tuple[str, ...]:
    """Return the digests of interpreters that are on this host, unpacked and unchanged."""
    return tuple(each for each in wanted if blobs.DIGEST.fullmatch(each) and is_sound(paths, each))


def is_untouched(paths: Paths, sha256: str) -> bool:
    """Whether an interpreter is complete, and was not touched since it was last verified."""
    try:
        return _last_change(paths, sha256) <= _verified(paths, sha256)
    except OSError:
        return False


def _verified(paths: Paths, sha256: str) -> int:
    return os.stat(paths.python_record(sha256)).st_mtime_ns


def _last_change(paths: Paths, sha256: str) -> int:
    """Return when any of it was last changed, in nanoseconds since the epoch."""
    top = paths.python(sha256)
    inside = files.below(top, without=CACHE)
    states = [os.lstat(top), *(entry.stat(follow_symlinks=False) for entry in inside)]
    return max(map(files.touched, states))


def is_sound(paths: Paths, sha256: str) -> bool:
    """Whether an interpreter may be used; one that was touched is compared and marked.

    Raises:
        Refused: cache-locked.
    """
    if not os.path.exists(paths.python_record(sha256)):
        return False
    return is_untouched(paths, sha256) or not differences(paths, sha256)


def differences(paths: Paths, sha256: str) -> List[str]:
    """Return in a sentence each how an interpreter differs from its archive.

    One without differences counts as verified now. Another one is marked by the name of its record,
    and not used until it is unpacked anew, or is as it was.

    Raises:
        Refused: cache-locked.
    """
    began, top = time.time_ns(), paths.python(sha256)
    sound, damaged = paths.python_record(sha256), paths.python_damaged(sha256)
    with ExitStack() as held:
        with suppress(OSError):  # no file can be written: nobody else writes it either
            held.enter_context(_holding(paths.python_lock, shared=True))
        name, record = sound, _record(sound, top)
        if record is None:
            name, record = damaged, _record(damaged, top)
        found = [f"{top} is not complete"] if record is None else _compared(top, record)
        with suppress(OSError):
            os.replace(sound if found else name, damaged if found else sound)
            if not found:
                _stamp(paths, sha256, began - TICK)
    return found


@contextmanager
def _holding(lock: str, step: str = "", *, shared: bool = False) -> Iterator[None]:
    with ExitStack() as held:
        try:
            held.enter_context(files.lock(lock, wait=WAIT, shared=shared))
        except files.Locked:
            what = f"another app has been unpacking a Python on this host for {WAIT:.0f} s"
            hint = "run the command again when that is done"
            raise Refused(Failure("cache-locked", what, step, hint)) from None
        yield


def _stamp(paths: Paths, sha256: str, when: int) -> None:
    """Record up to when it has not been changed, in nanoseconds since the epoch."""
    os.utime(paths.python_record(sha256), ns=(when, when))


def _record(path: str, top: str) -> Optional[Dict[str, List[str]]]:
    """Return what an interpreter consists of; None if it is not complete."""
    found = files.read_json(path)
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        return None
    entries = found.get("entries")
    return entries if isinstance(entries, dict) and files.is_real_directory(top) else None


def _compared(top: str, record: Dict[str, List[str]]) -> List[str]:
    there = {top: os.lstat(top)}
    for entry in files.below(top, without=CACHE):
        there[entry.path] = entry.stat(follow_symlinks=False)
    wanted = {os.path.join(top, path): expected for path, expected in record.items()}
    added = [f"{path} was added" for path in sorted(there.keys() - wanted.keys() - {top})]
    gone = [f"{path} is missing" for path in sorted(wanted.keys() - there.keys())]
    owned = [
        f"{path} belongs to another user, or can be changed by others"
        for path, status in there.items()
        if status.st_uid != os.geteuid()
        or (status.st_mode & 0o022 and not stat.S_ISLNK(status.st_mode))
    ]
    changed = [
        f"{path} was changed"
        for path, expected in wanted.items()
        if path in there and _state(path, there[path]) != expected
    ]
    return [*gone, *owned, *changed, *added]


def _state(path: str, status: os.stat_result) -> List[str]:
    """Return what a record has of a path."""
    if stat.S_ISDIR(status.st_mode):
        return [FOLDER]
    if stat.S_ISLNK(status.st_mode):
        return [LINK, os.readlink(path)]
    if not stat.S_ISREG(status.st_mode):
        return []
    return [FILE, f"{stat.S_IMODE(status.st_mode):o}", blobs.digest_of(path)]


# --- making one ----------------------------------------------------------------------------------


def unpack(paths: Paths, python: Python) -> None:
    """Unpack an interpreter from its blob, unless it is there and unchanged.

    Raises:
        Refused: interpreter-broken, blob-corrupt, blob-missing, bytecode-failed or cache-locked.
    """
    began = time.time_ns()
    if is_sound(paths, python.sha256):  # a pruning soon after does not take it away
        _stamp(paths, python.sha256, max(began - TICK, _verified(paths, python.sha256)))
        return
    folders.make_public(paths.pythons)
    with _holding(paths.python_unpack_lock, STEP):
        if not is_sound(paths, python.sha256):  # not unpacked meanwhile
            blobs.verify(paths, [python.archive])
            blobs.refuse_corrupt(paths, [python.archive], STEP)
            _unpack(paths, python)


def _unpack(paths: Paths, python: Python) -> None:
    """Write the folder beside its place, then rename it; a killed call leaves no record."""
    from . import bytecode, python_archive  # noqa: PLC0415 - imports cost time

    beside = os.path.join(paths.pythons, f"{UNFINISHED}{os.getpid()}")
    files.remove(beside)
    try:
        entries = python_archive.unpack(paths.blob(python.sha256), beside, python)
        _try(os.path.join(beside, python.program), python)
        sources = [entry.path for entry in files.below(os.path.join(beside, "lib"), without=CACHE)]
        wanted = [path for path in sources if path.endswith(".py") and not RARE.search(path)]
        bytecode.compile_files(os.path.join(beside, python.program), wanted)
        files.sync_filesystem(beside)
        compared = {path: each for path, each in entries.items() if CACHE not in path.split("/")}
        with _holding(paths.python_lock, STEP):
            _replace(paths.python(python.sha256), beside)
            _write_record(paths, python.sha256, compared)
    except BaseException:
        files.remove(beside)
        raise


def _write_record(paths: Paths, sha256: str, entries: Dict[str, List[str]]) -> None:
    record: Dict[str, Any] = {"format": FORMAT, "entries": entries}
    files.write(paths.python_record(sha256), json.dumps(record).encode(), RECORD_MODE)
    # Its rename was the last change; a stamp of now - TICK may lie before that.
    _stamp(paths, sha256, _last_change(paths, sha256))
    files.unlink(paths.python_damaged(sha256))


def _try(program: str, python: Python) -> None:
    """Check that it runs on this host, and is the version that it should be."""
    hint = "it may be for a newer libc than the host's: take an archive for an older one"
    try:
        done = run([program, "-I", "-S", "-c", VERSION], timeout=QUICK)
    except PermissionError:  # a file system that is mounted noexec, most often
        raise
    except OSError as error:
        what = f"{python.filename} does not run on this host: {error.strerror}"
        raise Refused(Failure("interpreter-broken", what, STEP, hint)) from error
    if not done.ok:
        what = f"{python.filename} does not run on this host: it {done.end(QUICK)}"
        failure = from_output("interpreter-broken", what, STEP, done.output)
        raise Refused(replace(failure, hint=failure.hint or hint))
    if done.output.strip() != python.version:
        what = f"{python.filename} is Python {done.output.strip()}; expected {python.version}"
        raise Refused(Failure("interpreter-broken", what, STEP, "get the right archive"))


def _replace(folder: str, beside: str) -> None:
    """Put the new folder where a damaged one may be: a process that uses it finds it again."""
    old = beside + "-old"
    files.remove(old)
    if os.path.lexists(folder):
        os.rename(folder, old)
    os.rename(beside, folder)
    files.sync_directory(os.path.dirname(folder))
    files.remove(old)


# --- removing ------------------------------------------------------------------------------------


def delete_unused(paths: Paths, used: Iterable[str], before: float) -> None:
    """Remove the interpreters that no release needs, no process runs, and that are old enough.

    The caller knows the releases of all apps, and holds paths.store_lock exclusively. Nothing is
    removed while a transaction is open: the unit that would settle it at boot may be run by one.
    """
    spared = {*used, *_running(paths)}
    if any(name.startswith("shipit-recover") for name in _names(paths.units)):
        return
    with suppress(files.Locked), ExitStack() as held:
        for lock in (paths.python_unpack_lock, paths.python_lock):
            held.enter_context(files.lock(lock))
        for name in _names(paths.pythons):
            path, (sha256, _, _) = os.path.join(paths.pythons, name), name.partition(".")
            is_unused = blobs.DIGEST.fullmatch(sha256) and sha256 not in spared
            if name.startswith(UNFINISHED) or (is_unused and _last_use(paths, sha256) < before):
                files.unlink(paths.python_record(sha256))
                files.remove(path)


def _names(folder: str) -> List[str]:
    return [entry.name for entry in files.entries(folder)]


def _last_use(paths: Paths, sha256: str) -> float:
    times = [0.0]
    for path in (paths.python_record(sha256), paths.python(sha256)):
        with suppress(FileNotFoundError):
            times.append(os.lstat(path).st_mtime)
    return max(times)


def _running(paths: Paths) -> Iterator[str]:
    """Yield the digests of the interpreters that processes of this host run."""
    for process in filter(str.isdecimal, os.listdir("/proc")):
        with suppress(OSError):
            program = os.readlink(f"/proc/{process}/exe")
            if program.startswith(paths.pythons + "/"):
                yield program[len(paths.pythons) + 1 :].partition("/")[0]

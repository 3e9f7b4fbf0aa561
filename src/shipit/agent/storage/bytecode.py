"""Prepare a venv's bytecode before its first start.

An unprivileged service would compile a root-owned venv without bytecode again at each start. Files
shared with the previous release (uv hard-links both from its cache: the same inode is the same
bytes with the same mtime) have bytecode already: hard-link that, and compile only the rest. It
contains the previous release's source path, which Python corrects on import.
"""

import os
import subprocess
import time
from typing import Dict, Iterator, List, NamedTuple

from ..protocol.messages import Failure
from ..system.failures import Refused, from_output
from ..system.process import clean_environment

TIMEOUT = 600.0  # seconds
FILES_A_WORKER = 100  # fewer do not justify another process
WORKERS = 8
CACHE = "__pycache__"
SYNTAX_ERRORS = (
    1  # compileall's status if a file is not valid in this Python version, as in some wheels
)


class Tally(NamedTuple):
    """How many files' bytecode was linked and compiled."""

    linked: int
    compiled: int


def complete(venv: str, previous: str, python: str) -> Tally:
    """Link or compile the bytecode of every module in a venv; `previous` is another or "".

    `python`: the interpreter that created the venv. The venv's own is not run, as wheels were
    unpacked around it.

    Raises:
        Refused: bytecode-failed.
    """
    shared = previous if previous and _same_python(venv, previous) else ""
    rest: List[str] = []
    linked = 0
    for package_root in _libraries(venv):
        old_root = os.path.join(shared, os.path.relpath(package_root, venv)) if shared else ""
        for directory, old in _directories(package_root, old_root):
            done, todo = _link_directory(directory, old)
            linked += done
            rest += todo
    _refuse_unlisted(rest)
    _compile(python, rest)
    return Tally(linked, len(rest))


def _refuse_unlisted(sources: List[str]) -> None:
    """Refuse a name with a line break: the rest of it would be another file's path.

    Raises:
        Refused: bytecode-failed.
    """
    for source in sources:
        if not source.isprintable():
            what = f"a wheel brings {source!a}, a name with control characters"
            raise Refused(
                Failure("bytecode-failed", what, "build", "find out who built that wheel")
            )


def _same_python(venv: str, previous: str) -> bool:
    """Whether both venvs have the same interpreter in the same version, on one file system."""
    try:
        same_disk = os.stat(venv).st_dev == os.stat(previous).st_dev
        return same_disk and configuration(venv) == configuration(previous)
    except FileNotFoundError:
        return False


def configuration(venv: str) -> Dict[str, str]:
    """Return the interpreter's location and version from pyvenv.cfg."""
    with open(os.path.join(venv, "pyvenv.cfg"), encoding="utf-8") as stream:
        pairs = [line.partition("=") for line in stream]
    wanted = ("home", "version", "version_info", "implementation")
    return {key.strip(): value.strip() for key, _, value in pairs if key.strip() in wanted}


def _libraries(venv: str) -> Iterator[str]:
    lib = os.path.join(venv, "lib")
    for name in sorted(os.listdir(lib)):
        yield os.path.join(lib, name)


class _Pair(NamedTuple):
    new: str
    old: str  # the same directory in the previous venv, "" if there is none


def _directories(new: str, old: str) -> Iterator[_Pair]:
    stack = [_Pair(new, old)]
    while stack:
        pair = stack.pop()
        yield pair
        with os.scandir(pair.new) as entries:
            for entry in entries:
                if entry.name != CACHE and entry.is_dir(follow_symlinks=False):
                    below = os.path.join(pair.old, entry.name) if pair.old else ""
                    stack.append(_Pair(entry.path, below))


class _Linked(NamedTuple):
    done: int
    rest: List[str]  # sources that must be compiled


def _link_directory(new: str, old: str) -> _Linked:
    sources = _inodes(new, ".py")
    if not sources:
        return _Linked(0, [])
    old_sources = _inodes(old, ".py") if old else {}
    same = {name for name, inode in sources.items() if old_sources.get(name) == inode}
    bytecode = _bytecode_by_source(os.path.join(old, CACHE)) if same else {}
    ready = {name: bytecode[name] for name in same if name in bytecode}
    if ready:
        os.makedirs(os.path.join(new, CACHE), exist_ok=True)
    for found in ready.values():
        _link(os.path.join(old, CACHE, found), os.path.join(new, CACHE, found))
    return _Linked(len(ready), [os.path.join(new, name) for name in sources if name not in ready])


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except FileExistsError:
        return


def _inodes(directory: str, suffix: str) -> Dict[str, int]:
    try:
        with os.scandir(directory) as entries:
            return {entry.name: entry.inode() for entry in entries if entry.name.endswith(suffix)}
    except FileNotFoundError:
        return {}


def _bytecode_by_source(cache: str) -> Dict[str, str]:
    """Return the names of the unoptimised bytecode files by their source's name (PEP 3147)."""
    found = {}
    for name in _inodes(cache, ".pyc"):
        stem, _tag, rest = name.partition(".")
        if rest.count(".") == 1:  # tag.pyc, and not tag.opt-1.pyc
            found[stem + ".py"] = name
    return found


def _compile(python: str, sources: List[str]) -> None:
    if not sources:
        return
    workers = max(1, min(WORKERS, os.cpu_count() or 1, len(sources) // FILES_A_WORKER))
    deadline = time.monotonic() + TIMEOUT
    chunks = [sources[start::workers] for start in range(workers)]
    children = [(_start(python), chunk) for chunk in chunks]
    try:
        for child, chunk in children:
            _feed(child, chunk)
        for child, _chunk in children:
            _check(child, max(0.1, deadline - time.monotonic()))
    finally:
        for child, _chunk in children:
            _stop(child)


def _start(python: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [python, "-I", "-S", "-m", "compileall", "-qq", "-i", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=clean_environment(),
    )


def _feed(child: "subprocess.Popen[bytes]", sources: List[str]) -> None:
    assert child.stdin is not None  # noqa: S101 - asked for in _start
    try:
        with child.stdin as stream:
            stream.write(b"".join(os.fsencode(source) + b"\n" for source in sources))
    except BrokenPipeError:
        return  # it died: its exit status is checked later


def _check(child: "subprocess.Popen[bytes]", timeout: float) -> None:
    try:
        status = child.wait(timeout)
    except subprocess.TimeoutExpired:
        what = f"compiling the bytecode did not end within {TIMEOUT:g} s"
        raise Refused(Failure("bytecode-failed", what, "build")) from None
    if status not in (0, SYNTAX_ERRORS):
        what = f"compiling the bytecode ended with exit status {status}"
        raise Refused(from_output("bytecode-failed", what, "build", ""))


def _stop(child: "subprocess.Popen[bytes]") -> None:
    if child.poll() is None:
        child.kill()
        child.wait()

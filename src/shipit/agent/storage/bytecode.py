"""Prepare a venv's bytecode before its first start.

An unprivileged service would compile a root-owned venv without bytecode again at each start. Files
shared with the previous release (uv hard-links both from its cache: the same inode is the same
bytes with the same mtime) have bytecode already: hard-link that, and compile only the rest. It
contains the previous release's source path, which Python corrects on import.
"""

import os
import tempfile
import time
from contextlib import ExitStack, suppress
from typing import Dict, List, NamedTuple, Optional, Tuple

from ..protocol.messages import Failure
from ..system import files
from ..system.failures import Refused
from ..system.process import Running

TIMEOUT = 600.0  # seconds
FILES_A_WORKER = 100  # fewer do not justify another process
WORKERS = 8
CACHE = "__pycache__"
PYTHONS = ("python", "pypy")  # names of the folder above site-packages, with a version
SYNTAX_ERRORS = 1  # compileall's status if a file is invalid in this Python, as in some wheels


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
    linked, rest = 0, []
    for entry in files.below(os.path.join(venv, "lib"), without=CACHE):
        if entry.is_dir(follow_symlinks=False):
            old = os.path.join(shared, os.path.relpath(entry.path, venv)) if shared else ""
            done, todo = _link_directory(entry.path, old)
            linked += done
            rest += todo
    compile_files(python, rest)
    return Tally(linked, len(rest))


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


def site_packages(venv: str) -> Optional[str]:
    """Return the venv's own site-packages; a wheel may add folders of any name beside it."""
    try:
        settings = configuration(venv)
    except FileNotFoundError:
        return None
    version = settings.get("version_info") or settings.get("version", "")
    short = ".".join(version.split(".")[:2])
    places = [os.path.join(venv, "lib", name + short, "site-packages") for name in PYTHONS]
    return next(filter(os.path.isdir, places), None)


def _link_directory(new: str, old: str) -> Tuple[int, List[str]]:
    """Link the bytecode of one directory; return how much, and the sources that need compiling."""
    sources = _inodes(new, ".py")
    old_sources = _inodes(old, ".py") if old and sources else {}
    same = {name for name, inode in sources.items() if old_sources.get(name) == inode}
    bytecode = _bytecode_by_source(os.path.join(old, CACHE)) if same else {}
    ready = {name: bytecode[name] for name in same if name in bytecode}
    if ready:
        os.makedirs(os.path.join(new, CACHE), exist_ok=True)
    for found in ready.values():
        with suppress(FileExistsError):
            os.link(os.path.join(old, CACHE, found), os.path.join(new, CACHE, found))
    return len(ready), [os.path.join(new, name) for name in sources if name not in ready]


def _inodes(directory: str, suffix: str) -> Dict[str, int]:
    found = files.entries(directory)
    return {entry.name: entry.inode() for entry in found if entry.name.endswith(suffix)}


def _bytecode_by_source(cache: str) -> Dict[str, str]:
    """Return the names of the unoptimised bytecode files by their source's name (PEP 3147)."""
    found = {}
    for name in _inodes(cache, ".pyc"):
        stem, _tag, rest = name.partition(".")
        if rest.count(".") == 1:  # tag.pyc, and not tag.opt-1.pyc
            found[stem + ".py"] = name
    return found


def compile_files(python: str, sources: List[str]) -> None:
    """Compile modules with an interpreter.

    Raises:
        Refused: bytecode-failed.
    """
    for source in sources:
        if not source.isprintable():  # after a line break the rest would be another file's path
            what = f"a wheel brings {source!a}, a name with control characters"
            hint = "find out who built that wheel"
            raise Refused(Failure("bytecode-failed", what, "build", hint))
    workers = max(1, min(WORKERS, os.cpu_count() or 1, len(sources) // FILES_A_WORKER))
    deadline = time.monotonic() + TIMEOUT
    with ExitStack() as stack:
        started = []
        for number in range(workers if sources else 0):
            # No pipe: a compiler that hangs would block the one who writes into it, for ever.
            listed = stack.enter_context(tempfile.TemporaryFile(dir=os.path.dirname(sources[0])))
            listed.writelines(os.fsencode(path) + b"\n" for path in sources[number::workers])
            listed.seek(0)
            compiling = [python, "-I", "-S", "-m", "compileall", "-qq", "-i", "-"]
            started.append(Running(compiling, stdin=listed.fileno()))
            stack.callback(started[-1].close)
        for running in started:
            done = running.finish(max(0.1, deadline - time.monotonic()))
            if done.timed_out or done.status not in (0, SYNTAX_ERRORS):
                what = f"compiling the bytecode {done.end(TIMEOUT)}"
                raise Refused(Failure("bytecode-failed", what, "build"))

"""Find the Python interpreters of this host, and query each once.

Searches only where an administrator installs them for all users (/usr/bin, /usr/local/bin,
/opt/*/bin), and runs only those that root alone can change: the program, its standard library and
the paths to them. Caches the answers until a file changes: a repeated call starts no process.
"""

import functools
import itertools
import json
import os
import re
import subprocess
import time
from contextlib import ExitStack, closing, suppress
from shlex import quote
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from ..protocol.answers import Interpreter
from ..protocol.codec import from_json, to_json
from ..protocol.messages import Failure
from . import files, trust
from .process import Running

TIMEOUT = 10.0  # seconds for all of them together
CODE = "interpreter-rejected"
SYSCONFIG_SINCE = 10  # Python's minor version
DISTUTILS = ("distutils", "dist.py")  # Debian splits the package: __init__.py is there without it
NAME = re.compile(r"python3(\.\d{1,3})?")
PYTHONS_AT_MOST, ENTRIES_AT_MOST = 32, 50_000  # of one folder
LIBRARY = re.compile(r"(python|pypy)3\.\d+$|libpython3")
LIBRARY_PARTS = ("", "encodings", "lib-dynload", "os.py")  # of a folder; a file has none
QUESTION = (
    "import json,os,sys;print(json.dumps({"
    "'version':'%d.%d.%d'%sys.version_info[:3],"
    "'implementation':sys.implementation.name,"
    "'machine':os.uname().machine if sys.maxsize>2**32 else 'i686'}))"
)


class Found(NamedTuple):
    """The usable interpreters, those of the system first, and the rejected ones."""

    usable: Tuple[Interpreter, ...]
    rejected: Tuple[Failure, ...]


Judge = Callable[[str], Optional[Failure]]


def places() -> List[str]:
    """Return the directories to search."""
    others: List[str] = []
    with suppress(OSError):
        others = sorted(os.listdir("/opt"))
    return ["/usr/bin", "/usr/local/bin", *(os.path.join("/opt", name, "bin") for name in others)]


def find(cache_path: str, directories: List[str], judge: Optional[Judge] = None) -> Found:
    """Return the interpreters in these directories; skip those that do not answer.

    An interpreter that `judge` rejects is neither run nor returned, even if it is cached.
    """
    if judge is None:  # the paths share most folders
        look = functools.lru_cache(maxsize=None)(trust.look)
        judge = functools.partial(rejected, look=look)
    usable, refused = _judged(_candidates(directories), judge)
    cache = files.read_json(cache_path)
    known: Dict[str, Any] = cache if isinstance(cache, dict) else {}
    stamps = {path: _stamp(path) for path in usable}
    unknown = [path for path, stamp in stamps.items() if known.get(path, {}).get("stamp") != stamp]
    fresh: Dict[str, Any] = {
        path: {"stamp": stamps[path], "is": found} for path, found in _ask(unknown).items()
    }
    kept = {path: fresh.get(path) or known[path] for path in stamps if path in {*fresh, *known}}
    if fresh or kept.keys() != known.keys():
        files.remember(cache_path, kept)
    found = (kept[path]["is"] for path in stamps if path in kept)
    return Found(tuple(from_json(Interpreter, value) for value in found if value), refused)


# --- which may be run --------------------------------------------------------------------------


def rejected(path: str, look: trust.Look = trust.look, step: str = "") -> Optional[Failure]:
    """Return why root must not run an interpreter, or why no service could; None if both may.

    Rejected ones are not queried as another user either, as no app could use them.
    """
    try:
        why, hint = _objection(path, look)
    except OSError as error:
        why, hint = f"it cannot be inspected: {error.strerror}", f"see ls -l {quote(path)}"
    return Failure(CODE, f"{path} is not used: {why}", step, hint) if why else None


def _objection(path: str, look: trust.Look) -> Tuple[str, str]:
    """Return what is wrong with an interpreter and what to do, both "" for nothing.

    Raises:
        OSError: the path to it cannot be read.
    """
    if not os.path.isabs(path):
        return "it is not an absolute path", "name it by its absolute path"
    for part in (path, *_code(os.path.realpath(path))):
        weak = trust.weakness(part, look)
        if weak:
            why = f"users other than root can change it: {weak}"
            return why, f"if root may trust it: {weak.cure}"
    beside = os.path.dirname(path)  # a pyvenv.cfg would redirect its standard library
    if any(look(os.path.join(at, "pyvenv.cfg")) for at in (beside, os.path.dirname(beside))):
        return "it belongs to a venv", "use the Python that created the venv"
    closed = trust.closed(path, look)
    if closed:
        why = f"the services cannot run it: {closed} is closed to them"
        return why, f"chmod o+rx {quote(closed)}"
    return "", ""


def lacks_distutils(path: str) -> bool:
    """Whether uv and pip can't use an interpreter: before 3.10 both need distutils.

    Debian has that in a package of its own.
    """
    program = os.path.realpath(path)
    found = re.fullmatch(r"python3\.(\d+)", os.path.basename(program))
    if found is None or int(found.group(1)) >= SYSCONFIG_SINCE:
        return False
    library = os.path.join(os.path.dirname(program), "..", "lib", found.group())
    is_there = [os.path.exists(os.path.join(library, *it)) for it in (("os.py",), DISTUTILS)]
    return is_there == [True, False]


def _code(program: str) -> Iterator[str]:
    """Yield the paths from which an interpreter loads code before it runs ours (-I -S)."""
    prefix = os.path.dirname(os.path.dirname(program))
    for name in ("lib", "lib64"):
        folder = os.path.join(prefix, name)
        yield folder
        for library in filter(LIBRARY.match, os.listdir(folder) if os.path.isdir(folder) else ()):
            yield from (os.path.join(folder, library, part) for part in LIBRARY_PARTS)


def _candidates(directories: List[str]) -> Iterator[str]:
    """Yield the paths of interpreters; in a directory those with a version in their names first.

    An upgrade of the system moves `python3` to the next version under a venv's feet. Below /opt a
    folder may belong to another user and contain any number of files: only some are read.
    """
    for directory in directories:
        found: List[str] = []
        with suppress(OSError), os.scandir(directory) as entries:
            some = itertools.islice(entries, ENTRIES_AT_MOST)
            pythons = (entry.path for entry in some if NAME.fullmatch(entry.name))
            found = list(itertools.islice(pythons, PYTHONS_AT_MOST))
        for path in sorted(sorted(found), key=len, reverse=True):
            if os.access(path, os.X_OK):
                yield path


def _judged(candidates: Iterable[str], judge: Judge) -> Tuple[List[str], Tuple[Failure, ...]]:
    """Return one path for each usable interpreter, and why the others were rejected."""
    usable: Dict[str, str] = {}
    no: Dict[str, Failure] = {}
    for path in candidates:
        real = os.path.realpath(path)
        if real in usable:
            continue
        objection = judge(path)
        if objection:
            no.setdefault(real, objection)
        else:
            usable[real] = path
    return list(usable.values()), tuple(no[real] for real in no if real not in usable)


def _stamp(path: str) -> List[Any]:
    """Return values that change with the file, its owner and its mode."""
    status = os.stat(path)
    owner = [status.st_uid, status.st_gid, status.st_mode]
    times = [status.st_mtime_ns, status.st_ctime_ns]
    return [os.path.realpath(path), status.st_ino, status.st_size, *times, *owner]


# --- what they are -----------------------------------------------------------------------------


def _ask(paths: List[str]) -> Dict[str, Optional[Dict[str, Any]]]:
    """Query all interpreters at once; None for an invalid answer.

    Skips one that was too slow: it may be faster next time.
    """
    answers: Dict[str, Optional[Dict[str, Any]]] = dict.fromkeys(paths)
    with ExitStack() as stack:
        deadline, asked = time.monotonic() + TIMEOUT, {}
        for path in paths:
            with suppress(OSError):  # it can't be executed
                argv = [path, "-I", "-S", "-c", QUESTION]
                asked[path] = stack.enter_context(closing(Running(argv, stderr=subprocess.DEVNULL)))
        for path, running in asked.items():
            done = running.finish(max(0.1, deadline - time.monotonic()))
            if done.timed_out:
                del answers[path]
                continue
            with suppress(ValueError, TypeError):
                answers[path] = to_json(Interpreter(path=path, **json.loads(done.output)))
    return answers

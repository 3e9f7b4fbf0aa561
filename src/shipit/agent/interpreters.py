"""Find the Pythons of this host, and ask each once what it is.

Looks only where an administrator puts them for everybody (/usr/bin, /usr/local/bin, /opt/*/bin).
Answers are kept until the file changes, so that asking again starts no process.
"""

import json
import os
import re
import subprocess
import time
from contextlib import suppress
from typing import Any, Dict, List, Optional, Tuple

from . import files
from .codec import from_json, to_json
from .process import clean_environment
from .protocol import Interpreter

TIMEOUT = 10.0  # seconds for all of them together
NAME = re.compile(r"python3(\.\d+)?")
QUESTION = (
    "import json,os,sys;print(json.dumps({"
    "'version':'%d.%d.%d'%sys.version_info[:3],"
    "'implementation':sys.implementation.name,"
    "'machine':os.uname().machine if sys.maxsize>2**32 else 'i686'}))"
)


def places() -> List[str]:
    """Return the directories that are looked into."""
    try:
        others = sorted(os.listdir("/opt"))
    except OSError:
        others = []
    return ["/usr/bin", "/usr/local/bin", *(os.path.join("/opt", name, "bin") for name in others)]


def find(cache_path: str, directories: List[str]) -> Tuple[Interpreter, ...]:
    """Return the interpreters in these directories; one that does not answer is left out."""
    cache = files.read_json(cache_path)
    known: Dict[str, Any] = cache if isinstance(cache, dict) else {}
    stamps = {path: _stamp(path) for path in _candidates(directories)}
    unknown = [path for path, stamp in stamps.items() if known.get(path, {}).get("stamp") != stamp]
    fresh: Dict[str, Any] = {
        path: {"stamp": stamps[path], "is": found} for path, found in _ask(unknown).items()
    }
    kept = {path: fresh.get(path) or known[path] for path in stamps if path in {*fresh, *known}}
    if fresh or kept.keys() != known.keys():
        _remember(cache_path, kept)
    found = (kept[path]["is"] for path in stamps if path in kept)
    return tuple(from_json(Interpreter, value) for value in found if value)


def _candidates(directories: List[str]) -> List[str]:
    """Return one path for each interpreter: of names for the same file the one with a version.

    An upgrade of the system moves `python3` to the next version under a venv's feet.
    """
    best: Dict[str, str] = {}
    for directory in directories:
        try:
            names = sorted(filter(NAME.fullmatch, os.listdir(directory)), key=len, reverse=True)
        except OSError:
            continue
        for name in names:
            path = os.path.join(directory, name)
            if os.access(path, os.X_OK):
                best.setdefault(os.path.realpath(path), path)
    return sorted(best.values())


def _stamp(path: str) -> List[int]:
    status = os.stat(path)
    return [status.st_ino, status.st_mtime_ns, status.st_size]


def _ask(paths: List[str]) -> Dict[str, Optional[Dict[str, Any]]]:
    """Ask the interpreters all at once; None for one that gives no sensible answer.

    One that was too slow to answer is left out: it may be quicker next time.
    """
    deadline = time.monotonic() + TIMEOUT
    children = {path: _start(path) for path in paths}
    answers: Dict[str, Optional[Dict[str, Any]]] = {}
    for path, child in children.items():
        with suppress(subprocess.TimeoutExpired):
            answers[path] = _answer(path, child, deadline) if child else None
    return answers


def _start(path: str) -> Optional["subprocess.Popen[bytes]"]:
    try:
        return subprocess.Popen(
            [path, "-I", "-S", "-c", QUESTION],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=clean_environment(),
        )
    except OSError:
        return None


def _answer(
    path: str, child: "subprocess.Popen[bytes]", deadline: float
) -> Optional[Dict[str, Any]]:
    with child:
        try:
            output, _ = child.communicate(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()  # and what it has started may hold its output: that is not waited for
            raise
    try:
        return to_json(Interpreter(path=path, **json.loads(output)))
    except (ValueError, TypeError):
        return None


def _remember(cache_path: str, known: Dict[str, Any]) -> None:
    """Keep the answers; a host that can't be written to is asked again next time."""
    try:
        files.make_directory(os.path.dirname(cache_path))
        files.write(cache_path, json.dumps(known).encode())
    except OSError:
        return

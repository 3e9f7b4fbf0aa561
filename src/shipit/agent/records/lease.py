"""The dead-man's lease and the verdict: the two files by which a controller speaks to the driver.

The lease is a moment on the boot's own clock, so that no change of the wall clock moves it; in
another boot it has run out. The first verdict of a transaction wins, by link(2).
"""

import json
import math
from contextlib import suppress
from typing import Any

from ..host.host import Host
from ..system import files
from ..system.paths import Paths

COMMIT, REVERT = "commit", "revert"
MODE = 0o600


def write(paths: Paths, host: Host, txn: str, seconds: float) -> None:
    """Let the lease of a transaction end `seconds` from now.

    It is not waited for the disk, which may take longer than the lease: no other boot asks for it.
    """
    content = {"txn": txn, "boot": host.boot_id(), "deadline": host.boottime() + seconds}
    files.write(paths.lease, json.dumps(content).encode(), MODE, sync=False)


def has_run_out(paths: Paths, host: Host, txn: str) -> bool:
    """Whether nobody has renewed it in time."""
    lease = _mapping(paths.lease)
    deadline = lease.get("deadline")
    lasts = isinstance(deadline, (int, float)) and host.boottime() < deadline < math.inf
    return lease.get("txn") != txn or lease.get("boot") != host.boot_id() or not lasts


def end(paths: Paths) -> None:
    """Let the lease run out now. This needs no room on the disk; a read-only one may refuse."""
    with suppress(OSError):
        files.unlink(paths.lease)


def verdict(paths: Paths, txn: str) -> str:
    """Return the verdict of a transaction; "" as long as there is none that can be read."""
    found = _mapping(paths.verdict)
    given = found.get("verdict") if found.get("txn") == txn else ""
    return given if given in (COMMIT, REVERT) else ""


def transaction(paths: Paths) -> str:
    """Return whose verdict or lease there is; "" for none."""
    found = (_of(paths.verdict) or _of(paths.lease)).get("txn")
    return found if isinstance(found, str) else ""


def _of(path: str) -> Any:
    try:
        return _mapping(path)
    except OSError:
        return {}


def claim(paths: Paths, txn: str, wanted: str) -> str:
    """Give a verdict, and return the one that won.

    One that has been given may be carried out, and cleared, before this returns.
    """
    content = _content(txn, wanted)
    if files.claim(paths.verdict, content):
        return wanted
    if won := verdict(paths, txn):
        return won
    files.unlink(paths.verdict)  # it is of a transaction that has ended
    return wanted if files.claim(paths.verdict, content) else verdict(paths, txn)


def request_rollback(paths: Paths, txn: str) -> None:
    """Let nobody find a commit any more: a stuck way back is not taken for a stuck commit.

    The disk may refuse: going back does not depend on it.
    """
    try:
        files.write(paths.verdict, _content(txn, REVERT), MODE)
    except OSError:
        with suppress(OSError):
            files.unlink(paths.verdict)  # this needs no room


def _content(txn: str, wanted: str) -> bytes:
    return json.dumps({"txn": txn, "verdict": wanted}).encode()


def clear(paths: Paths) -> None:
    """Remove lease and verdict of a transaction that has ended or not begun."""
    files.unlink(paths.verdict)
    files.unlink(paths.lease)


def _mapping(path: str) -> Any:
    found = files.read_json(path)
    return found if isinstance(found, dict) else {}

"""The lease and the verdict: the two files through which a controller reaches the driver.

The lease is a time on the boot's own clock, so that no change of the wall clock moves it; in
another boot it has expired. The first verdict of a transaction wins, by link(2).
"""

import json
import math
from contextlib import suppress
from typing import Any

from ..host.host import Host
from ..system import files
from ..system.paths import Paths

COMMIT, REVERT = "commit", "revert"
EXPIRED = "lease-expired"  # the code of a rollback because of it
MODE = 0o600


def write(paths: Paths, host: Host, txn: str, seconds: float) -> None:
    """Let the lease of a transaction end `seconds` from now.

    Does not fsync, which may take longer than the lease: no other boot reads it.
    """
    content = {"txn": txn, "boot": host.boot_id(), "deadline": host.boottime() + seconds}
    files.write(paths.lease, json.dumps(content).encode(), MODE, sync=False)


def has_run_out(paths: Paths, host: Host, txn: str) -> bool:
    """Whether the lease has expired."""
    lease = _mapping(paths.lease)
    deadline = lease.get("deadline")
    lasts = isinstance(deadline, (int, float)) and host.boottime() < deadline < math.inf
    return lease.get("txn") != txn or lease.get("boot") != host.boot_id() or not lasts


def end(paths: Paths) -> None:
    """End the lease now. Needs no room on the disk; a read-only one may refuse."""
    with suppress(OSError):
        files.unlink(paths.lease)


def verdict(paths: Paths, txn: str) -> str:
    """Return the verdict of a transaction; "" while there is no readable one."""
    found = _mapping(paths.verdict)
    given = found.get("verdict") if found.get("txn") == txn else ""
    return given if given in (COMMIT, REVERT) else ""


def transaction(paths: Paths) -> str:
    """Return the transaction of the present verdict or lease; "" for none."""
    found = (_of(paths.verdict) or _of(paths.lease)).get("txn")
    return found if isinstance(found, str) else ""


def _of(path: str) -> Any:
    try:
        return _mapping(path)
    except OSError:
        return {}


def claim(paths: Paths, txn: str, wanted: str) -> str:
    """Give a verdict, and return the one that won.

    The driver may carry it out, and clear it, before this returns.
    """
    content = _content(txn, wanted)
    if files.claim(paths.verdict, content):
        return wanted
    if won := verdict(paths, txn):
        return won
    files.unlink(paths.verdict)  # it belongs to a transaction that has ended
    return wanted if files.claim(paths.verdict, content) else verdict(paths, txn)


def request_rollback(paths: Paths, txn: str) -> None:
    """Replace a commit verdict, so that a stuck rollback is not taken for a stuck commit.

    The disk may refuse: the rollback does not depend on it.
    """
    try:
        files.write(paths.verdict, _content(txn, REVERT), MODE)
    except OSError:
        with suppress(OSError):
            files.unlink(paths.verdict)  # needs no room


def _content(txn: str, wanted: str) -> bytes:
    return json.dumps({"txn": txn, "verdict": wanted}).encode()


def clear(paths: Paths) -> None:
    """Remove lease and verdict of a transaction that has ended or not begun."""
    files.unlink(paths.verdict)
    files.unlink(paths.lease)


def _mapping(path: str) -> Any:
    found = files.read_json(path)
    return found if isinstance(found, dict) else {}

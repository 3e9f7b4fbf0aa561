"""The dead-man's lease and the verdict: the two files by which a controller speaks to the driver.

The lease is a moment on the boot's own clock, so that no change of the wall clock moves it; in
another boot it has run out. The first verdict of a transaction wins, by link(2).
"""

import json
from typing import Any

from . import files
from .host import Host
from .paths import Paths

COMMIT, REVERT = "commit", "revert"
MODE = 0o600


def write(paths: Paths, host: Host, txn: str, seconds: float) -> None:
    """Let the lease of a transaction end `seconds` from now."""
    content = {"txn": txn, "boot": host.boot_id(), "deadline": host.boottime() + seconds}
    files.write(paths.lease, json.dumps(content).encode(), MODE)


def has_run_out(paths: Paths, host: Host, txn: str) -> bool:
    """Whether nobody has renewed it in time."""
    lease = _mapping(paths.lease)
    return (
        lease.get("txn") != txn
        or lease.get("boot") != host.boot_id()
        or host.boottime() >= float(lease.get("deadline", 0.0))
    )


def verdict(paths: Paths, txn: str) -> str:
    """Return the verdict of a transaction; "" as long as there is none."""
    found = _mapping(paths.verdict)
    return str(found.get("verdict", "")) if found.get("txn") == txn else ""


def claim(paths: Paths, txn: str, wanted: str) -> str:
    """Give a verdict, and return the one that won."""
    content = json.dumps({"txn": txn, "verdict": wanted}).encode()
    if not files.claim(paths.verdict, content) and not verdict(paths, txn):
        files.unlink(paths.verdict)  # it is of a transaction that has ended
        files.claim(paths.verdict, content)
    return verdict(paths, txn)


def clear(paths: Paths) -> None:
    """Remove lease and verdict of a transaction that has ended or not begun."""
    files.unlink(paths.verdict)
    files.unlink(paths.lease)


def _mapping(path: str) -> Any:
    found = files.read_json(path)
    return found if isinstance(found, dict) else {}

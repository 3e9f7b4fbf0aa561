"""Read and write the owner of a lock: who, from where, since when, for what.

The kernel keeps the locks, and releases them with their process; this is only a note in the file.
"""

import json
import os
from typing import Optional

from ..protocol.codec import from_json, to_json
from ..protocol.messages import Attempt, Failure, Holder
from ..system import files
from ..system.paths import Paths
from . import journal

SESSION = "session"


def note(attempt: Attempt, phase: str) -> bytes:
    """Return the content for a lock file; phase: "session" for the process that stages."""
    content = {"attempt": to_json(attempt), "host_pid": os.getpid(), "phase": phase}
    return json.dumps(content).encode()


def holder(paths: Paths, now: float) -> Optional[Holder]:
    """Return who drives or stages now; None for nobody. `now`: seconds since the epoch."""
    for path in (paths.txn_lock, paths.session_lock):
        held = files.lock_note(path)
        if held is not None:
            return _read(paths, path, held, now)
    return None


def _read(paths: Paths, path: str, content: bytes, now: float) -> Optional[Holder]:
    try:
        raw = json.loads(content)
        attempt = from_json(Attempt, raw["attempt"])
    except (ValueError, KeyError, TypeError):
        return None  # it was just taken: a later call will return it
    open_ = journal.load(paths)
    phase = raw["phase"] or (open_.state.value if open_ else "")
    age = max(0.0, now - os.stat(path).st_mtime)
    return Holder(attempt, int(raw["host_pid"]), phase, age)


def locked(app: str, whose: str) -> Failure:
    """Return the failure for a second attempt; `whose`: the owner of the lock."""
    hint = "`--lock-wait 5m` waits for it to end, `shipit attach PLAYBOOK` follows it"
    return Failure("locked", f"{app} is held by {whose}", "lock", hint)


def describe(found: Optional[Holder]) -> str:
    """Return the owner of a lock in words."""
    if found is None:
        return "another deploy"
    attempt = found.attempt
    why = f" ({attempt.reason})" if attempt.reason else ""
    return f"a {attempt.what} by {attempt.who}{why}, for {found.age:.0f} s, in {found.phase}"

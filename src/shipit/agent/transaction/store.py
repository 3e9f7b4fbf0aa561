"""The files of an app's open transaction: journal, lease, verdict, event log and locks.

Nothing else opens them. All are root's alone, below /var/lib/shipit/txn.

- The journal is replaced atomically and fsynced; without it no transaction is open. One that cannot
  be read is a STUCK transaction.
- The lease is a time on the boot's own clock, so that no change of the wall clock moves it; in
  another boot it has expired.
- The first verdict of a transaction wins, by link(2).
- The kernel keeps the locks, and releases them with their process; their files only name the owner.
"""

import json
import math
import os
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Iterator, Optional

from ..host.host import Host
from ..protocol.codec import from_json, to_json
from ..protocol.messages import Attempt, Failure, Holder
from ..records.redactor import Redactor
from ..system import files
from ..system.paths import Paths
from .event_log import EventLogReader, EventLogWriter
from .journal import Journal, decode, encode, stuck_advice

COMMIT, REVERT = "commit", "revert"  # the verdicts
EXPIRED = "lease-expired"  # the code of a rollback because of it
MODE = 0o600
JOURNAL_LIMIT = 8 * 1024 * 1024  # bytes; thousands of units need a fraction of it
SESSION = "session"  # the phase of a lock's owner that stages


class Store:
    """The transaction of one app on this host, as far as it is on the disk."""

    def __init__(self, paths: Paths, host: Host) -> None:
        self.paths, self.host = paths, host
        self.log = EventLogWriter(paths)

    # --- the journal ---------------------------------------------------------------------------

    def load(self) -> Optional[Journal]:
        """Return the open transaction, if there is one; a STUCK one counts as open."""
        try:
            return decode(files.read_own(self.paths.journal, JOURNAL_LIMIT))
        except FileNotFoundError:
            return None
        except (OSError, files.NotOurs) as error:
            return self._stand_in(str(error))
        except ValueError as error:
            return self._stand_in(f"it is damaged: {error}"[:200])

    def _stand_in(self, why: str) -> Journal:
        from . import unreadable  # noqa: PLC0415 - seldom needed

        changed, committed = 0.0, False
        txn = _txn_of(self.paths.verdict) or _txn_of(self.paths.lease)
        with suppress(OSError):
            committed = self.verdict(txn) == COMMIT
            changed = os.lstat(self.paths.journal).st_mtime
        return unreadable.stand_in(self.paths, why, txn=txn, committed=committed, changed=changed)

    def save(self, journal: Journal) -> Journal:
        """Put the journal on the disk, and return it, with the secrets in its failure masked."""
        failure = Redactor(self.paths)(journal.failure) if journal.failure else None
        journal = replace(journal, failure=failure)
        files.write(self.paths.journal, encode(journal), MODE)
        return journal

    def open(self, journal: Journal, superseded: Optional[Journal]) -> Journal:
        """Begin a transaction, with an empty event log."""
        files.make_directory(os.path.dirname(self.paths.journal), files.PRIVATE)
        files.unlink(self.paths.events)
        if superseded:
            self.quarantine(superseded)
        return self.save(journal)

    def close(self) -> None:
        """End the transaction: from here on nothing is open."""
        self.clear_verdict()
        files.unlink(self.paths.journal)
        files.sync_directory(os.path.dirname(self.paths.journal))

    def quarantine(self, journal: Journal) -> None:
        """Copy an unreadable journal for an operator; the file itself stays until it is replaced.

        Moves away a directory, which cannot be replaced.
        """
        if journal.readable:
            return
        with suppress(OSError):  # it is only evidence
            files.unlink(self.paths.unreadable)
            os.link(self.paths.journal, self.paths.unreadable, follow_symlinks=False)
        if files.is_real_directory(self.paths.journal):
            files.remove_tree(self.paths.unreadable)
            os.rename(self.paths.journal, self.paths.unreadable)

    def stuck(self) -> str:
        """Return what an operator must do here; "" for nothing."""
        return stuck_advice(self.load(), self.paths.app)

    def events(self) -> EventLogReader:
        return EventLogReader(self.paths)

    # --- lease and verdict -----------------------------------------------------------------------

    def write_lease(self, txn: str, seconds: float) -> None:
        """Let the lease of a transaction end `seconds` from now.

        Does not fsync, which may take longer than the lease: no other boot reads it.
        """
        deadline = self.host.boottime() + seconds
        content = {"txn": txn, "boot": self.host.boot_id(), "deadline": deadline}
        files.write(self.paths.lease, json.dumps(content).encode(), MODE, sync=False)

    def lease_has_expired(self, txn: str) -> bool:
        lease, now = _mapping(self.paths.lease), self.host.boottime()
        deadline = lease.get("deadline")
        lasts = isinstance(deadline, (int, float)) and now < deadline < math.inf
        return (lease.get("txn"), lease.get("boot")) != (txn, self.host.boot_id()) or not lasts

    def end_lease(self) -> None:
        """End the lease now. Needs no room on the disk; a read-only one may refuse."""
        with suppress(OSError):
            files.unlink(self.paths.lease)

    def verdict(self, txn: str) -> str:
        """Return the verdict of a transaction; "" while there is no readable one."""
        found = _mapping(self.paths.verdict)
        given = found.get("verdict") if found.get("txn") == txn else ""
        return given if given in (COMMIT, REVERT) else ""

    def claim(self, txn: str, wanted: str) -> str:
        """Give a verdict, and return the one that won.

        The driver may carry it out, and clear it, before this returns.
        """
        content = _verdict(txn, wanted)
        if files.claim(self.paths.verdict, content):
            return wanted
        if won := self.verdict(txn):
            return won
        files.unlink(self.paths.verdict)  # it belongs to a transaction that has ended
        return wanted if files.claim(self.paths.verdict, content) else self.verdict(txn)

    def claim_rollback(self, txn: str) -> str:
        """Give the verdict revert if the disk takes it, and return the one that won."""
        try:
            return self.claim(txn, REVERT)
        except OSError:
            return self.verdict(txn)

    def replace_by_revert(self, txn: str) -> None:
        """Replace a commit verdict, so that a stuck rollback is not taken for a stuck commit.

        The disk may refuse: the rollback does not depend on it.
        """
        try:
            files.write(self.paths.verdict, _verdict(txn, REVERT), MODE)
        except OSError:
            with suppress(OSError):
                files.unlink(self.paths.verdict)  # needs no room

    def clear_verdict(self) -> None:
        """Remove lease and verdict of a transaction that has ended or not begun."""
        files.unlink(self.paths.verdict)
        files.unlink(self.paths.lease)

    # --- locks -----------------------------------------------------------------------------------

    @contextmanager
    def session(self, attempt: Attempt, wait: float = 0.0) -> Iterator[None]:
        """Hold the lock of the session that stages and follows: one deploy at a time.

        Raises:
            files.Locked: another session still holds it after `wait` seconds.
        """
        with files.lock(self.paths.session_lock, _owner(attempt, SESSION), wait):
            yield

    @contextmanager
    def driving(self, attempt: Attempt, wait: float) -> Iterator[None]:
        """Hold the lock of the process that drives the transaction.

        Raises:
            files.Locked: another process still holds it after `wait` seconds.
        """
        with files.lock(self.paths.txn_lock, _owner(attempt, ""), wait):
            yield

    def has_session(self) -> bool:
        return files.lock_note(self.paths.session_lock) is not None

    def has_driver(self) -> bool:
        return files.lock_note(self.paths.txn_lock) is not None

    def holder(self) -> Optional[Holder]:
        """Return who drives or stages now; None for nobody."""
        for path in (self.paths.txn_lock, self.paths.session_lock):
            note = files.lock_note(path)
            if note is not None:
                return self._holder(path, note)
        return None

    def _holder(self, path: str, note: bytes) -> Optional[Holder]:
        try:
            raw = json.loads(note)
            attempt = from_json(Attempt, raw["attempt"])
        except (ValueError, KeyError, TypeError):
            return None  # it was just taken: a later call will return it
        open_ = None if raw["phase"] else self.load()
        phase = open_.state.value if open_ else raw["phase"]
        age = max(0.0, self.host.wall() - os.stat(path).st_mtime)
        return Holder(attempt, int(raw["host_pid"]), phase, age)

    def locked(self) -> Failure:
        """Return the failure of a second attempt, with the owner of the lock."""
        hint = "`--lock-wait 5m` waits for it to end, `shipit attach PLAYBOOK` follows it"
        return Failure("locked", f"{self.paths.app} is held by {self._whose()}", "lock", hint)

    def _whose(self) -> str:
        found, open_ = self.holder(), self.load()
        if found is None:
            return f"the {open_.what}, in {open_.state.value}" if open_ else "another deploy"
        attempt = found.attempt
        why = f" ({attempt.reason})" if attempt.reason else ""
        return f"a {attempt.what} by {attempt.who}{why}, for {found.age:.0f} s, in {found.phase}"


def _owner(attempt: Attempt, phase: str) -> bytes:
    content = {"attempt": to_json(attempt), "host_pid": os.getpid(), "phase": phase}
    return json.dumps(content).encode()


def _verdict(txn: str, wanted: str) -> bytes:
    return json.dumps({"txn": txn, "verdict": wanted}).encode()


def _txn_of(path: str) -> str:
    try:
        txn = _mapping(path).get("txn")
    except OSError:
        return ""
    return txn if isinstance(txn, str) else ""


def _mapping(path: str) -> Any:
    found = files.read_json(path)
    return found if isinstance(found, dict) else {}

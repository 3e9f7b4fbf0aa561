"""Run the migration of a release, at most once unless an operator asks for it.

It is recorded for good (`records.migrations`), on the disk before it starts. A lost controller does
not interrupt it; one that was interrupted nevertheless stays unfinished there.
"""

from dataclasses import replace
from typing import Optional, Tuple

from ...protocol.hooks import OK, Hook, HookLine
from ...protocol.messages import Failure, StepBegan, StepEnded
from ...protocol.migrations import (
    ABANDONED,
    AGAIN,
    APPLIED,
    BEGUN,
    FAILED,
    KNOWN,
    PENDING_TIMEOUT,
    Migration,
    is_applied,
    of_txn,
    unfinished,
)
from ...records import history, migrations, releases
from ...system.failures import Refused, from_os_error
from ...system.paths import Paths
from ..journal import Journal
from ..store import Store
from .command import UNIQUE, Run, execute, failure_of, uninterrupted
from .points import record

MIGRATION = "migration"  # its key among the hooks of a journal
MIGRATE = "migrate"
ENDS = {APPLIED: OK, FAILED: FAILED}  # by the state of the record
KILLED = range(129, 193)  # a shell's status of what a signal has ended: what it did is unknown
NOT_STARTED = ("no-user", "program-untrusted")  # codes of what is refused before a start
INTERRUPTED = "interrupted"
UNFINISHED = (
    "find out what it has done; then `shipit deploy PLAYBOOK --migrate-again` runs it again"
    " (docs/migrations.md)"
)


def run(of: Run, open_: Journal) -> Tuple[Journal, Optional[Failure]]:
    """Run the migration of a release, unless it was applied already; return the journal with it.

    Once it has begun, nothing interrupts it but its timeout.

    Raises:
        OSError: it could not be recorded before its start, and does not run.
        Refused: its `pending` was interrupted.
    """
    wanted, past = of.of.migration, migrations.lines(of.paths)
    left = unfinished(past)
    if left is not None and AGAIN not in open_.attempt.options:
        what = f"the migration of {left.release}, begun {left.at}, has not ended"
        return open_, Failure("migration-unfinished", what, MIGRATE, UNFINISHED)
    if wanted is None or not open_.attempt.elected:
        return open_, None
    is_known = KNOWN in open_.attempt.options or is_applied(past, of.of.id)
    if is_known and AGAIN not in open_.attempt.options:
        of.emit(StepBegan(MIGRATE, "was applied before: not run again"))
        of.emit(StepEnded(MIGRATE, 0.0, ok=True))
        return open_, None
    if wanted.pending and not of.interrupted():
        failed = failure_of(wanted.hook, execute(of, of_pending(wanted), unit=UNIQUE))
        if failed is not None:
            return open_, replace(failed, what=f"`pending` of the migration: {failed.what}")
    interrupted = of.interrupted()
    if interrupted is not None:
        return open_, interrupted
    return _migrate(replace(of, interrupted=uninterrupted), open_, wanted)


def of_pending(wanted: Migration) -> Hook:
    """Return the command that prints what a migration would do, as a hook."""
    return replace(wanted.hook, name="pending", command=wanted.pending, timeout=PENDING_TIMEOUT)


def pending(store: Store, release: str) -> Optional[str]:
    """Return what the migration of a release would do; None if it is not on this host."""
    try:
        found = releases.verified(store.paths, release)
        if found is None or found.migration is None or not found.migration.pending:
            return None
        of = Run(store, lambda _: None, found, MIGRATE, is_query=True)
        done = execute(of, of_pending(found.migration), unit=UNIQUE)
    except Refused as refused:
        return f"`pending` was not run: {refused.failure.what}"
    return done.output if done.ok else f"{done.output}\n`pending` {done.end(PENDING_TIMEOUT)}"


def _migrate(of: Run, open_: Journal, wanted: Migration) -> Tuple[Journal, Optional[Failure]]:
    open_ = of.store.save(replace(open_, hooks={**open_.hooks, MIGRATION: ""}))
    _note(of, open_, BEGUN)
    began = of.host.now()
    of.emit(StepBegan(MIGRATE, " ".join(wanted.hook.command)))
    try:
        done = execute(of, wanted.hook)
        failure = failure_of(wanted.hook, done)
        how = OK if done.ok else done.end(wanted.hook.timeout)
        is_known = not (done.timed_out or done.lost or done.status in KILLED)
        if is_known:
            _note(of, open_, FAILED if failure else APPLIED)
    except (Refused, OSError) as error:
        failure = error.failure if isinstance(error, Refused) else from_os_error(error, MIGRATE)
        how, is_known = failure.what, failure.code in NOT_STARTED
        if is_known:
            _note(of, open_, FAILED)
    seconds = of.host.now() - began
    of.emit(StepEnded(MIGRATE, seconds, ok=failure is None))
    record(of.paths, open_, HookLine(MIGRATION, MIGRATE, how, seconds))
    how = how if is_known else INTERRUPTED
    return of.store.save(replace(open_, hooks={**open_.hooks, MIGRATION: how})), failure


def _note(of: Run, open_: Journal, state: str) -> None:
    line = migrations.line(of.of, state, open_.attempt, of.host.wall())
    migrations.append(of.paths, line)


def ended(paths: Paths, open_: Journal) -> str:
    """Return how the migration of a transaction has ended, by its records."""
    found = of_txn(migrations.lines(paths), open_.txn)
    return ENDS.get(found.state, INTERRUPTED) if found else "has not begun"


def what_stays(paths: Paths, open_: Journal) -> Optional[Failure]:
    """Return what a rollback does not take back: what this transaction has migrated."""
    last = of_txn(migrations.lines(paths), open_.txn)
    if last is not None and last.state == BEGUN:
        what = f"the migration of {open_.release} was interrupted: what it has done is unknown"
        return Failure("migration-unfinished", what, MIGRATE, UNFINISHED)
    if last is None or last.state != APPLIED:
        return None
    what = f"the migration of {open_.release} STAYS APPLIED: only the services were rolled back"
    if last.reversible:
        return Failure("migration-applied", what, MIGRATE, "the next deploy does not run it again")
    what += "; it is IRREVERSIBLE, and the previous release may not run with what it has changed"
    hint = "check the previous release now; deploy a release that fits the data"
    return Failure("migration-applied", what, MIGRATE, hint)


def note_committed(store: Store, open_: Journal) -> None:
    """Record the migration of a committed release on a host that has not run it itself."""
    past, paths = migrations.lines(store.paths), store.paths
    left, committed = unfinished(past), releases.manifest(paths, open_.release)
    if open_.is_rollback or committed is None:
        return
    now = store.host.wall()
    if left is not None and AGAIN in open_.attempt.options:
        again = replace(left, state=ABANDONED, at=history.utc(now), txn=open_.txn)
        migrations.append(paths, again)
    if committed.migration is not None and not is_applied(past, committed.id):
        migrations.append(paths, migrations.line(committed, APPLIED, open_.attempt, now))

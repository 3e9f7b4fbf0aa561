"""Drive an open transaction to an end: journal, effect, journal, effect.

`transact` is the main of the transient unit, which restarts it whenever it dies. It holds the
transaction's lock, and resumes a dropped transaction where the recovery table says.
"""

from dataclasses import replace
from typing import Optional, Union

from ..host.host import Host
from ..protocol.messages import Failure, Settled, StepBegan, StepEnded, StepFailed
from ..records import app_root, history, journal, lease, locks, releases
from ..records.event_log import EventLogWriter
from ..records.journal import Journal
from ..records.redactor import Redactor
from ..records.states import ON_ERROR, Result, State, following, resumed
from ..storage import prune
from ..system import files, folders
from ..system.failures import Refused, from_os_error
from ..system.paths import Paths
from . import boot_unit, effects
from .effects import EffectContext, Ended

LOCK_WAIT = 5.0  # seconds; a recovery holds the lock only while it works
LOCKED = 75  # exit status (EX_TEMPFAIL): systemd restarts it, as often as the unit allows
RETRY_PAUSE = 0.5  # seconds, times the number of tries
FORWARD = (State.TRIAL, State.ACTIVATE, State.CHECK)


def transact(paths: Paths, host: Host) -> int:
    """Drive the open transaction to an end.

    Return the exit status: 0, also if there was nothing to do, or LOCKED if another process holds
    the transaction.

    Raises:
        Refused: the lock's file cannot be written.
    """
    folders.secure(paths)
    open_ = journal.load(paths)
    if open_ is None:
        return 0
    context = EffectContext(paths, host, EventLogWriter(paths))
    try:
        with files.lock(paths.txn_lock, locks.note(open_.attempt, ""), LOCK_WAIT):
            settled = _drive(context)
    except files.Locked:
        return LOCKED
    except OSError as error:
        raise Refused(from_os_error(error, open_.state.value)) from error
    if settled is not None:
        report_end(context, settled)
    return 0


def report_end(context: EffectContext, settled: Settled) -> None:
    """Emit Settled, then prune. The caller has released the lock: nobody waits for the pruning."""
    context.emit(settled)
    try:
        prune.delete_unused(context.paths, context.host.wall())
    except (OSError, Refused):
        return  # the next one prunes again


def _drive(context: EffectContext) -> Optional[Settled]:
    """Drive the transaction from its beginning, or from where a dead predecessor left it."""
    open_ = journal.load(context.paths)
    if open_ is None or open_.state.is_staging or (open_.state.is_end and open_.readable):
        return None
    if open_.state is State.ARM and not open_.taken:
        return run_to_end(context, _mark_taken(context, open_))
    EventLogWriter(context.paths).terminate_line()
    return run_to_end(context, resume(context, open_))


def _mark_taken(context: EffectContext, open_: Journal) -> Journal:
    """Record that a driver has begun; if the disk refuses, switch nothing."""
    try:
        return journal.save(context.paths, replace(open_, taken=True))
    except OSError as error:
        failure = from_os_error(error, open_.state.value)
        return enter_state(context, open_, ON_ERROR[open_.state], failure)


def resume(context: EffectContext, open_: Journal) -> Journal:
    """Move a dropped transaction to the state where it continues; the caller holds its lock."""
    committed = _last_verdict(context.paths, open_) == lease.COMMIT
    state = resumed(open_.state, committed=committed, moves=open_.moves)
    failure = open_.failure or (None if state is State.COMMIT else _interrupted(open_))
    moves = 0 if open_.state is State.STUCK else open_.moves  # an operator may have fixed it
    journal.quarantine(context.paths, open_)
    return enter_state(context, replace(open_, moves=moves, readable=True), state, failure)


def _last_verdict(paths: Paths, open_: Journal) -> str:
    """Return the verdict. Claims a rollback for a switched release: a later commit is refused."""
    if open_.state in FORWARD:
        return claim_rollback(paths, open_)
    return lease.verdict(paths, open_.txn)


def claim_rollback(paths: Paths, open_: Journal) -> str:
    """Give the verdict revert, and return the one that won."""
    try:
        return lease.claim(paths, open_.txn, lease.REVERT)
    except OSError:  # a full disk: no verdict can be added
        return lease.verdict(paths, open_.txn)


def _interrupted(open_: Journal) -> Failure:
    what = f"the {open_.attempt.what} was interrupted in the state {open_.state.value}"
    return Failure("interrupted", what, open_.state.value)


def run_to_end(context: EffectContext, open_: Journal) -> Settled:
    """Run effect after effect until an end is reached, and record it."""
    while not open_.state.is_end:
        open_ = _step(context, open_)
    return _finish(context, open_)


def _step(context: EffectContext, open_: Journal) -> Journal:
    ended = _run_effect(context, open_)
    tries = open_.tries + 1
    state = following(open_.state, ended.result, tries=tries, moves=open_.moves)
    if ended.failure is not None:
        context.emit(StepFailed(ended.failure))
    if state is open_.state:
        context.host.sleep(RETRY_PAUSE * tries)
    failure = None if state is State.DONE else _combined(open_, ended.failure)
    return enter_state(context, replace(open_, tries=tries, **ended.changes), state, failure)


def _run_effect(context: EffectContext, open_: Journal) -> Ended:
    name, began = open_.state.value, context.host.now()
    context.emit(StepBegan(name, open_.release))
    try:
        app_root.require(context.paths)
        ended = effects.EFFECTS[open_.state](context, open_)
    except (Refused, OSError) as error:
        ended = Ended(Result.ERROR, failure_of(error, name))
    ended = replace(ended, failure=Redactor(context.paths)(ended.failure))
    context.emit(StepEnded(name, context.host.now() - began, ended.result is Result.OK))
    return ended


def failure_of(error: Union[Refused, OSError], step: str) -> Failure:
    """Return the failure of a step that raised an exception."""
    if isinstance(error, OSError):
        return from_os_error(error, step)
    return error.failure if error.failure.step else replace(error.failure, step=step)


def _combined(open_: Journal, failure: Optional[Failure]) -> Optional[Failure]:
    """Combine the failure that caused the rollback with the one of the rollback.

    An interruption alone has no hint; the later failure may have one.
    """
    first = open_.failure
    if failure is None or first is None:
        return first or failure
    then = f"; then, in {open_.state.value}: [{failure.code}] {failure.what}"
    if then in first.what or (first.step, first.what) == (failure.step, failure.what):
        return first  # the same, retried
    evidence = "\n".join(filter(None, [first.evidence, failure.evidence]))
    hint = first.hint or failure.hint
    return replace(first, what=first.what + then, hint=hint, evidence=evidence)


def enter_state(
    context: EffectContext, open_: Journal, state: State, failure: Optional[Failure]
) -> Journal:
    """Journal the next state.

    If the disk refuses, roll back without a journal entry: from the old entry, recovery would roll
    back as well. Never go forward without one.
    """
    ahead = replace(open_, failure=failure)
    if state.is_end and state is not State.STUCK:
        return replace(ahead, state=state)  # the journal is about to be removed
    try:
        return journal.move(context.paths, ahead, state)
    except OSError as error:
        combined = _combined(ahead, from_os_error(error, state.value))
        onward = ON_ERROR[open_.state] if state in FORWARD else state
        tries = open_.tries if onward is open_.state else 0
        return replace(ahead, state=onward, moves=open_.moves + 1, tries=tries, failure=combined)


def _finish(context: EffectContext, open_: Journal) -> Settled:
    paths = context.paths
    if open_.state is State.STUCK:
        _record_stuck(context, open_)
        return Settled(open_.txn, "stuck", releases.pointed(paths), open_.failure)
    lease.clear(paths)
    journal.remove(paths)
    boot_unit.disarm(paths)  # last: a boot must find an open journal
    if open_.state is State.DONE:
        return Settled(open_.txn, "committed", open_.release)
    switched = history.outcome_of(history.entries(paths), open_.txn) == history.REVERTED
    outcome = "reverted" if switched else "discarded"
    return Settled(open_.txn, outcome, open_.previous, open_.failure)


def _record_stuck(context: EffectContext, open_: Journal) -> None:
    try:
        history.append(context.paths, effects.entry(context, open_, history.STUCK))
    except OSError:
        return  # the journal records it as well

"""Run a transaction: journal a state, run its effect, journal the next one, until it ends.

`transact` is the main of the transient unit, which restarts it whenever it dies. It holds the
transaction's lock, and resumes a dropped transaction where the recovery table says.
"""

from contextlib import suppress
from dataclasses import replace
from typing import Any, Dict, Optional, Union

from ..protocol.answers import Result
from ..protocol.messages import Failure, Settled, StepBegan, StepEnded, StepFailed
from ..records import app_root, releases
from ..storage import prune
from ..system import files, folders
from ..system.failures import TRY_AGAIN, Refused, from_os_error
from . import boot_unit
from .effects.context import EffectContext, Ended, record
from .effects.table import EFFECTS
from .hooks import interrupted
from .journal import Journal, moved
from .states import Ending, State, after, after_crash, after_disk_error
from .store import COMMIT, Store

LOCK_WAIT = 5.0  # seconds; a recovery holds the lock only while it works
RETRY_PAUSE = 0.5  # seconds, times the number of tries


def transact(store: Store) -> int:
    """Drive the open transaction to an end.

    Return the exit status: 0, also if there was nothing to do, or TRY_AGAIN if another process
    holds the transaction.

    Raises:
        Refused: the lock's file cannot be written.
    """
    folders.secure(store.paths)
    open_ = store.load()
    if open_ is None:
        return 0
    context = EffectContext.of_driver(store)
    try:
        with store.driving(open_.attempt, LOCK_WAIT):
            settled = _drive(context)
    except files.Locked:
        return TRY_AGAIN
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
    open_ = context.store.load()
    if open_ is None or open_.state.is_staging or (open_.state is State.STUCK and open_.readable):
        return None
    if open_.state is not State.ARM or open_.taken:
        return run(context, resume(context, open_))
    try:
        return run(context, context.store.save(replace(open_, taken=True)))
    except OSError as error:  # without a record that a driver has begun, switch nothing
        return run(context, fail(context, open_, from_os_error(error, open_.state.value)))


def resume(context: EffectContext, open_: Journal) -> Journal:
    """Enter the state where a dropped transaction continues; the caller holds its lock."""
    store = context.store
    store.log.terminate_line()
    open_ = interrupted.end(store, context.emit, open_)
    given = store.claim_rollback if open_.state.is_undecided else store.verdict
    state = after_crash(open_.state, committed=given(open_.txn) == COMMIT, moves=open_.moves)
    what = f"the {open_.attempt.what} was interrupted in the state {open_.state.value}"
    crash = Failure("interrupted", what, open_.state.value)
    failure = open_.failure or (None if state is State.COMMIT else crash)
    moves = 0 if open_.state is State.STUCK else open_.moves  # an operator may have fixed it
    store.quarantine(open_)
    return _enter(context, replace(open_, moves=moves, readable=True), state, failure)


def fail(context: EffectContext, open_: Journal, failure: Failure) -> Journal:
    """Enter the state that follows a failure of the present one, without another try."""
    return _enter(context, open_, after(open_.state, Ending.ERROR, tries=1, moves=0), failure)


def stage(context: EffectContext, open_: Journal) -> Optional[Failure]:
    """Run the states of a session; return why it failed. The caller then arms, or discards."""
    while True:
        ended = _run_effect(context, open_)
        onward = after(open_.state, ended.ending, tries=1, moves=open_.moves)
        if not onward.is_staging:
            return ended.failure
        open_ = context.store.save(moved(open_, onward, None))


def run(context: EffectContext, open_: Journal) -> Settled:
    """Run effect after effect until an end is reached, and record it."""
    while not open_.state.is_end:
        ended, tries = _run_effect(context, open_), open_.tries + 1
        state = after(open_.state, ended.ending, tries=tries, moves=open_.moves)
        if ended.failure is not None:
            context.emit(StepFailed(ended.failure))
        if state is open_.state:
            context.host.sleep(RETRY_PAUSE * tries)
        failure = None if state is State.COMMITTED else _combined(open_, ended.failure)
        open_ = _enter(context, replace(open_, tries=tries, **ended.changes), state, failure)
    return _finish(context, open_)


def _run_effect(context: EffectContext, open_: Journal) -> Ended:
    name, began = open_.state.value, context.host.now()
    context.emit(StepBegan(name, open_.release))
    try:
        app_root.require(context.paths)
        ended = EFFECTS[open_.state](context, open_)
    except (Refused, OSError) as error:
        ended = Ended(Ending.ERROR, failure_of(error, name), _written(context, open_))
    ended = replace(ended, failure=context.redacted(ended.failure))
    context.emit(StepEnded(name, context.host.now() - began, ended.ending is Ending.OK))
    return ended


def _written(context: EffectContext, open_: Journal) -> Dict[str, Any]:
    """Return what an effect that raised had written into the journal: hooks that have begun."""
    found = context.store.load()
    if found is None or not found.readable or found.txn != open_.txn:
        return {}
    return {"hooks": found.hooks, "boot": found.boot, "clean": found.clean}


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


def _enter(
    context: EffectContext, open_: Journal, state: State, failure: Optional[Failure]
) -> Journal:
    """Journal the next state. If the disk refuses, continue the way back without an entry."""
    if state.is_end and state is not State.STUCK:
        return replace(open_, state=state, failure=failure)  # the journal is about to be removed
    try:
        return context.store.save(moved(open_, state, failure))
    except OSError as error:
        refused = from_os_error(error, state.value)
        combined = _combined(replace(open_, failure=failure), refused)
        return moved(open_, after_disk_error(open_.state, state), combined)


def _finish(context: EffectContext, open_: Journal) -> Settled:
    store, result = context.store, Result(open_.state.value)
    if result is Result.STUCK:
        with suppress(OSError):  # the journal records it as well
            record(context, open_, result)
        return Settled(open_.txn, result, releases.pointed(store.paths), open_.failure)
    store.close()
    boot_unit.disarm(store.paths)  # last: a boot must find an open journal
    running = open_.release if result is Result.COMMITTED else open_.previous
    return Settled(open_.txn, result, running, open_.failure)

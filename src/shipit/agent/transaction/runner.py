"""Drive an open transaction to an end: journal, effect, journal, effect.

`transact` is the main of the transient unit, started again whenever it dies. It holds the
transaction's lock, and takes up a dropped transaction where the recovery table says.
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

LOCK_WAIT = 5.0  # seconds; whoever recovers holds the lock only so long as there is work
LOCKED = 75  # exit status (EX_TEMPFAIL): systemd starts it again, as often as the unit allows
RETRY_PAUSE = 0.5  # seconds, times the number of tries
FORWARD = (State.TRIAL, State.ACTIVATE, State.CHECK)


def transact(paths: Paths, host: Host) -> int:
    """Drive the open transaction to an end.

    Returns the exit status: 0, also where there was nothing to do, or LOCKED: somebody else holds
    the transaction. He may come to its end, or die.

    Raises:
        Refused: the disk does not take the lock's file.
    """
    folders.secure(paths)
    open_ = journal.load(paths)
    if open_ is None:
        return 0
    stage = EffectContext(paths, host, EventLogWriter(paths))
    try:
        with files.lock(paths.txn_lock, locks.note(open_.attempt, ""), LOCK_WAIT):
            settled = _taken(stage)
    except files.Locked:
        return LOCKED
    except OSError as error:
        raise Refused(from_os_error(error, open_.state.value)) from error
    if settled is not None:
        said(stage, settled)
    return 0


def said(stage: EffectContext, settled: Settled) -> None:
    """Say the last word, and then do what nobody has to wait for. The lock is free again."""
    stage.emit(settled)
    try:
        prune.delete_unused(stage.paths, stage.host.wall())
    except (OSError, Refused):
        return  # the next one sweeps again


def _taken(stage: EffectContext) -> Optional[Settled]:
    """Take the transaction up: at its beginning, or where a dead predecessor left it."""
    open_ = journal.load(stage.paths)
    if open_ is None or open_.state.is_staging or (open_.state.is_end and open_.readable):
        return None
    if open_.state is State.ARM and not open_.taken:
        return to_the_end(stage, _begun(stage, open_))
    EventLogWriter(stage.paths).terminate_line()
    return to_the_end(stage, taken_up(stage, open_))


def _begun(stage: EffectContext, open_: Journal) -> Journal:
    """Note that a driver has begun; where the disk refuses that, nothing is to be switched."""
    try:
        return journal.save(stage.paths, replace(open_, taken=True))
    except OSError as error:
        failure = from_os_error(error, open_.state.value)
        return moved(stage, open_, ON_ERROR[open_.state], failure)


def taken_up(stage: EffectContext, open_: Journal) -> Journal:
    """Move a dropped transaction to where it goes on; the caller holds its lock."""
    committed = _last_verdict(stage.paths, open_) == lease.COMMIT
    state = resumed(open_.state, committed=committed, moves=open_.moves)
    failure = open_.failure or (None if state is State.COMMIT else _interrupted(open_))
    moves = 0 if open_.state is State.STUCK else open_.moves  # a person may have mended it
    journal.quarantine(stage.paths, open_)
    return moved(stage, replace(open_, moves=moves, readable=True), state, failure)


def _last_verdict(paths: Paths, open_: Journal) -> str:
    """Return the verdict; a switched release has one from now on, so that none comes too late."""
    if open_.state in FORWARD:
        return claim_way_back(paths, open_)
    return lease.verdict(paths, open_.txn)


def claim_way_back(paths: Paths, open_: Journal) -> str:
    """Give the verdict to revert, and return the one that won."""
    try:
        return lease.claim(paths, open_.txn, lease.REVERT)
    except OSError:  # a full disk: what is there is all there will be
        return lease.verdict(paths, open_.txn)


def _interrupted(open_: Journal) -> Failure:
    what = f"the {open_.attempt.what} was interrupted in the state {open_.state.value}"
    return Failure("interrupted", what, open_.state.value)


def to_the_end(stage: EffectContext, open_: Journal) -> Settled:
    """Run effect after effect until an end is reached, and record it."""
    while not open_.state.is_end:
        open_ = _step(stage, open_)
    return _ended(stage, open_)


def _step(stage: EffectContext, open_: Journal) -> Journal:
    ended = _performed(stage, open_)
    tries = open_.tries + 1
    state = following(open_.state, ended.result, tries=tries, moves=open_.moves)
    if ended.failure is not None:
        stage.emit(StepFailed(ended.failure))
    if state is open_.state:
        stage.host.sleep(RETRY_PAUSE * tries)
    failure = None if state is State.DONE else _told(open_, ended.failure)
    return moved(stage, replace(open_, tries=tries, **ended.changes), state, failure)


def _performed(stage: EffectContext, open_: Journal) -> Ended:
    name, began = open_.state.value, stage.host.now()
    stage.emit(StepBegan(name, open_.release))
    try:
        app_root.require(stage.paths)
        ended = effects.EFFECTS[open_.state](stage, open_)
    except (Refused, OSError) as error:
        ended = Ended(Result.ERROR, failure_of(error, name))
    ended = replace(ended, failure=Redactor(stage.paths)(ended.failure))
    stage.emit(StepEnded(name, stage.host.now() - began, ended.result is Result.OK))
    return ended


def failure_of(error: Union[Refused, OSError], step: str) -> Failure:
    """Return the failure of a step that was left by an exception."""
    if isinstance(error, OSError):
        return from_os_error(error, step)
    return error.failure if error.failure.step else replace(error.failure, step=step)


def _told(open_: Journal, failure: Optional[Failure]) -> Optional[Failure]:
    """Keep both failures: the one that led back, and the one of going back.

    An interruption alone has no hint: what went wrong after it may say what to do.
    """
    first = open_.failure
    if failure is None or first is None:
        return first or failure
    then = f"; then, in {open_.state.value}: [{failure.code}] {failure.what}"
    if then in first.what or (first.step, first.what) == (failure.step, failure.what):
        return first  # the same, tried again
    evidence = "\n".join(filter(None, [first.evidence, failure.evidence]))
    hint = first.hint or failure.hint
    return replace(first, what=first.what + then, hint=hint, evidence=evidence)


def moved(
    stage: EffectContext, open_: Journal, state: State, failure: Optional[Failure]
) -> Journal:
    """Journal the move.

    Where the disk refuses, the way back is gone without: from the journal as it stands, recovery
    would go back as well. Forward is not.
    """
    ahead = replace(open_, failure=failure)
    if state.is_end and state is not State.STUCK:
        return replace(ahead, state=state)  # the journal is about to be removed
    try:
        return journal.move(stage.paths, ahead, state)
    except OSError as error:
        told = _told(ahead, from_os_error(error, state.value))
        onward = ON_ERROR[open_.state] if state in FORWARD else state
        tries = open_.tries if onward is open_.state else 0
        return replace(ahead, state=onward, moves=open_.moves + 1, tries=tries, failure=told)


def _ended(stage: EffectContext, open_: Journal) -> Settled:
    paths = stage.paths
    if open_.state is State.STUCK:
        _record_stuck(stage, open_)
        return Settled(open_.txn, "stuck", releases.pointed(paths), open_.failure)
    lease.clear(paths)
    journal.remove(paths)
    boot_unit.disarm(paths)  # last: while a journal is open, a boot has to find its way to it
    if open_.state is State.DONE:
        return Settled(open_.txn, "committed", open_.release)
    switched = history.outcome_of(history.entries(paths), open_.txn) == history.REVERTED
    outcome = "reverted" if switched else "discarded"
    return Settled(open_.txn, outcome, open_.previous, open_.failure)


def _record_stuck(stage: EffectContext, open_: Journal) -> None:
    try:
        history.append(stage.paths, effects.entry(stage, open_, history.STUCK))
    except OSError:
        return  # the journal says so as well

"""A session's use of a transaction: begin it, stage, launch its driver, follow it, settle it.

The session may die at any moment; the transaction does not need it.
"""

import time
from dataclasses import replace
from typing import Any, Iterator, Optional

from ..protocol.answers import Result
from ..protocol.messages import Activate, Attached, Attempt, Failure, Holder, Settled
from ..records import history, registry, releases
from ..storage import prune
from ..system import files
from ..system.failures import Refused, from_os_error
from . import boot_unit, recovery, runner
from .effects.context import EffectContext
from .journal import Journal, moved
from .states import ARMED, FIRST, may_settle
from .store import COMMIT, REVERT, Store

POLL = 0.02  # seconds
FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.05  # seconds between reads of the event log
CHECK_INTERVAL = 0.5  # seconds of silence after which the driver is checked
UNIT_NAME_WAIT = 30.0  # seconds for the last transaction's unit to end
PRUNING_TIME = 2.0  # seconds of these in which it may go on pruning; the next one prunes the rest
LOCK_WAIT = 5.0  # seconds
FOLLOWED = 3 * 86400.0  # seconds: a canary may be held for a day, and the run be paused for another


# --- staging -----------------------------------------------------------------------------------


def begin(
    store: Store,
    attempt: Attempt,
    release: str,
    *,
    fresh: bool,
    version: str = "",
    wait: float = 0.0,
) -> Journal:
    """Open a transaction (on the disk). The caller holds the session's lock.

    `fresh`: this transaction makes the release's directory, and may remove it again. `wait`:
    seconds to wait for another open transaction to end. A stuck one, for instance with a journal
    that can't be read, is superseded: this transaction removes its units, as well as those of a
    running release whose manifest is lost.

    Raises:
        Refused: `locked`, with the owner: another transaction is open.
    """
    paths, before = store.paths, _without_another(store, attempt.txn, wait)
    top = history.head(history.entries(paths))
    previous = top.release if top else releases.pointed_if_intact(paths)
    strays = boot_unit.unit_names(paths, before) + before.strays if before else ()
    opened = Journal(
        txn=attempt.txn,
        state=FIRST,
        release=release,
        version=version,
        previous=previous,
        fresh=fresh,
        attempt=attempt,
        strays=(*strays, *releases.units_without_manifest(paths, previous)),
        handing=before.handing if before else (),
    )
    registry.register(paths, begun=release if fresh else "")
    releases.hide_manifests(paths)
    return store.open(opened, superseded=before)


def _without_another(store: Store, txn: str, wait: float) -> Optional[Journal]:
    """Wait until no other transaction is open; return a stuck one, which this may supersede."""
    deadline = time.monotonic() + wait
    while True:
        open_ = store.load()
        if open_ is None or open_.txn == txn:
            return None
        if open_.state.is_end and not store.has_driver():  # and no process is retrying it
            return open_
        if time.monotonic() >= deadline:
            raise Refused(store.locked())
        time.sleep(POLL)


def stage(context: EffectContext, opened: Journal) -> None:
    """Stage the release of a transaction that has begun; it stays open, ready to be launched.

    Raises:
        Refused: why it can't be; the staged files have been discarded.
    """
    try:
        failure = runner.stage(context, opened)
    except BaseException as error:  # the controller has disconnected, or a bug
        what = f"staging was interrupted ({type(error).__name__})"
        discard(context.store, opened.txn, Failure("staging-broke-off", what, "build"))
        raise
    if failure:
        discard(context.store, opened.txn, failure)
        raise Refused(failure)


def discard(store: Store, txn: str, failure: Failure) -> Optional[Settled]:
    """Remove a release that was never activated, and record the attempt.

    Return None if the transaction is not open, or has activated something. If its driver runs
    nevertheless, request a rollback from it and return how it ended.

    Raises:
        Refused: `locked`: its driver keeps running.
    """
    open_ = store.load()
    if open_ is None or open_.txn != txn or not open_.state.may_discard:
        return None
    if open_.state.is_undecided:
        store.claim_rollback(txn)
    try:
        with store.driving(open_.attempt, LOCK_WAIT):
            now = store.load()
            if now is None or now.txn != txn:
                return _settled_already(store, open_)
            context = EffectContext.of_driver(store)
            settled = runner.run(context, runner.fail(context, now, failure))
            prune.delete_marked(store.paths)  # no driver will; no env file may be left
            return settled
    except files.Locked:
        raise Refused(store.locked()) from None


def _settled_already(store: Store, open_: Journal) -> Settled:
    attempts = history.entries(store.paths)
    outcome, top = history.outcome_of(attempts, open_.txn), history.head(attempts)
    try:
        result = Result(outcome) if outcome else Result.DISCARDED
    except ValueError:  # of a newer version
        result = Result.STUCK
    return Settled(open_.txn, result, top.release if top else "", open_.failure)


# --- launching ---------------------------------------------------------------------------------


def launch(store: Store, activate: Activate, *, agent_zip: str, python: str) -> None:
    """Journal ARM, write the lease, and start the driver's transient unit. Returns at once.

    The caller holds the session's lock. Begins a transaction if this attempt has none (a rollback).
    `activate.lock_wait`: seconds to wait for another open transaction to end.

    Raises:
        Refused: locked, changed-meanwhile, release-missing, driver-refused; nothing has changed
            then, and the caller calls `discard`.
    """
    attempt, open_ = activate.attempt, store.load()
    if open_ is None or open_.txn != attempt.txn:
        _without_another(store, attempt.txn, activate.lock_wait)
        _refuse_if_changed(store, activate.before)
        open_ = None
    found = releases.manifest(store.paths, activate.release)
    if found is None:
        what = f"release {activate.release} is not on this host"
        raise Refused(Failure("release-missing", what, "arm", "shipit releases lists them"))
    open_ = open_ or begin(store, attempt, found.id, fresh=False)
    _await_unit_name(store)
    store.clear_verdict()
    armed = replace(
        moved(open_, ARMED, None),
        agent=agent_zip,
        python=python,
        version=found.version,
        confirm=activate.confirm,
    )
    store.save(armed)
    store.write_lease(armed.txn, activate.lease)
    files.touch(agent_zip)  # in use: pruning keeps it
    boot_unit.start_driver(store, armed)


def _refuse_if_changed(store: Store, before: Optional[str]) -> None:
    """Refuse a rollback that was planned for another running release."""
    top = history.head(history.entries(store.paths))
    now = top.release if top else ""
    if before not in (None, now):
        what = f"the running release is now {now or 'none'}; it was {before or 'none'} when planned"
        hint = "check shipit status; roll back again if you still want to"
        raise Refused(Failure("changed-meanwhile", what, "arm", hint))


def _await_unit_name(store: Store) -> None:
    """Wait until the last transaction's process has ended: the name of its unit is the mutex.

    That transaction is over. Its process only prunes, which may take long and can be interrupted
    anywhere.
    """
    host, unit = store.host, store.paths.unit
    began, was_stopped = host.now(), False
    while host.show([unit])[unit].is_up:
        if not was_stopped and host.now() - began >= PRUNING_TIME:
            was_stopped = True
            host.systemctl("stop", [unit], timeout=UNIT_NAME_WAIT)
        if host.now() - began >= UNIT_NAME_WAIT:
            hint = f"see shipit status PLAYBOOK; on the host: systemctl status {unit}"
            raise Refused(Failure("driver-refused", f"{unit} is still running", "arm", hint))
        host.sleep(POLL)


# --- following ---------------------------------------------------------------------------------


def attached(store: Store) -> Optional[Attached]:
    """Return the running transaction; None if there is none to follow."""
    open_ = store.load()
    if open_ is None or open_.state.is_end:
        return None
    found = store.holder()
    if found is None or found.attempt.txn != open_.txn:  # its driver has not begun yet
        found = Holder(open_.attempt, 0, open_.state.value, 0.0)
    return Attached(found, open_.release, store.has_session())


def follow(store: Store, *, timeout: float = FOLLOWED, is_guest: bool = False) -> Iterator[Any]:
    """Yield the driver's messages (StepBegan, StepEnded, Probed, Failure, Healthy), last Settled.

    Starts with the transaction's first message, from any process. Recovers the transaction if its
    driver has died for good. Yields nothing if there was never a transaction. `is_guest`: leave
    staging to the session that began it, which may live elsewhere.

    Raises:
        Refused: follow-timeout.
    """
    try:
        yield from _followed(store, timeout=timeout, is_guest=is_guest)
    except OSError as error:  # no process can settle it on this disk
        failure, open_ = from_os_error(error, "recover"), store.load()
        if open_ is None:
            raise Refused(failure) from error
        yield Settled(open_.txn, Result.STUCK, releases.pointed(store.paths), failure)


def _followed(store: Store, *, timeout: float, is_guest: bool) -> Iterator[Any]:
    host, events, open_ = store.host, store.events(), store.load()
    end = host.now() + timeout
    pause, checked_at, over = FIRST_PAUSE, host.now(), False
    while True:
        for message in events.unread():
            if open_ is not None and getattr(message, "txn", open_.txn) != open_.txn:
                continue  # the end of the previous transaction, logged after this one had begun
            yield message
            if isinstance(message, Settled):
                return
            pause, checked_at = FIRST_PAUSE, host.now()
        if over:
            break
        if host.now() >= end:
            raise Refused(Failure("follow-timeout", f"no end within {timeout:g} s", "follow"))
        if open_ is None or host.now() - checked_at >= CHECK_INTERVAL:
            checked_at, over = host.now(), _is_over(store, is_guest=is_guest)
        else:
            host.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
    if open_ is not None:
        yield _lost_end(store, open_)


def _is_over(store: Store, *, is_guest: bool) -> bool:
    """Whether the log is complete. Settles a transaction that its driver has left."""
    now = store.load()
    if now is None or now.state.is_end:
        return not store.has_driver()
    if is_guest:
        recovery.recover(store)
    elif not (now.state.is_staging or recovery.is_driven(store, now)):
        recovery.recover_abandoned(store)
    return False


def _lost_end(store: Store, open_: Journal) -> Settled:
    """Return how a transaction ended whose Settled message was lost."""
    now = store.load()
    if now is not None and now.txn == open_.txn:
        return Settled(now.txn, Result.STUCK, releases.pointed(store.paths), now.failure)
    return _settled_already(store, open_)


# --- settling ----------------------------------------------------------------------------------


def renew(store: Store, txn: str, seconds: float) -> None:
    """Renew the lease of a running transaction: it ends `seconds` from now."""
    open_ = store.load()
    if open_ is not None and open_.txn == txn and open_.state.is_undecided:
        store.write_lease(txn, seconds)


def settle(store: Store, txn: str, verdict: str) -> str:
    """Give the verdict (commit or revert) and return the one that won: the first.

    For a transaction that has ended, return how it ended. A commit before Healthy is not accepted:
    returns "".
    """
    open_ = store.load()
    if open_ is None or open_.txn != txn:
        outcome = history.outcome_of(history.entries(store.paths), txn)
        return COMMIT if outcome == Result.COMMITTED else REVERT
    if may_settle(open_.state, commit=verdict == COMMIT, healthy=open_.healthy):
        return store.claim(txn, verdict)
    return store.verdict(txn) or (REVERT if open_.state.is_decided else "")

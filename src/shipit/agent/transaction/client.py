"""A session's use of a transaction: begin it, launch its driver, follow it, give the verdict.

The session may die at any moment; the transaction does not need it. `transact` (the main of the
transient unit) comes from `runner`, `recover` (for an abandoned transaction) from `recovery`.
"""

import os
import time
from dataclasses import replace
from typing import Any, Iterator, Optional

from ..host.host import Host
from ..protocol.messages import Activate, Attached, Attempt, Failure, Holder, Settled
from ..records import history, journal, lease, locks, registry, releases
from ..records.event_log import EventLogReader, EventLogWriter
from ..records.journal import Journal
from ..records.states import State
from ..storage import prune
from ..system import files
from ..system.failures import Refused, from_os_error
from ..system.paths import Paths
from . import effects, recovery, runner
from .effects import EffectContext
from .recovery import recover, recover_at_boot
from .runner import transact

__all__ = [
    "advance", "attached", "begin", "discard", "follow", "holder", "launch", "lock_note", "recover",
    "recover_at_boot", "renew", "settle", "stuck", "transact",
]  # fmt: skip

POLL = 0.02  # seconds
FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.05  # seconds between reads of the event log
CHECK_INTERVAL = 0.5  # seconds of silence after which the driver is checked
UNIT_NAME_WAIT = 30.0  # seconds for the last transaction's unit to end
PRUNING_TIME = 2.0  # seconds of these in which it may go on pruning; the next one prunes the rest
LOCK_WAIT = 5.0  # seconds


def begin(
    paths: Paths,
    attempt: Attempt,
    release: str,
    *,
    fresh: bool,
    version: str = "",
    wait: float = 0.0,
) -> Journal:
    """Open a transaction (state RECEIVE, on the disk). The caller holds paths.session_lock.

    `fresh`: this transaction makes the release's directory, and may remove it again. `wait`:
    seconds to wait for another open transaction to end. A stuck one, for instance with a journal
    that can't be read, is superseded: this transaction removes its units, as well as those of a
    running release whose manifest is lost.

    Raises:
        Refused: `locked`, with the owner: another transaction is open.
    """
    before = _without_another(paths, attempt.txn, wait)
    top = history.head(history.entries(paths))
    previous = top.release if top else _previous_unrecorded(paths)
    strays = effects.unit_names(paths, before) + before.strays if before else ()
    opened = Journal(
        txn=attempt.txn,
        state=State.RECEIVE,
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
    files.make_directory(os.path.dirname(paths.journal), 0o700)
    files.unlink(paths.events)
    if before:
        journal.quarantine(paths, before)
    return journal.save(paths, opened)


def _previous_unrecorded(paths: Paths) -> str:
    """Return the release `current` points at, as the rollback target if the history is lost."""
    pointed = releases.pointed(paths)
    return pointed if releases.manifest(paths, pointed) else ""


def _without_another(paths: Paths, txn: str, wait: float) -> Optional[Journal]:
    """Wait until no other transaction is open; return a stuck one, which this may supersede."""
    deadline = time.monotonic() + wait
    while True:
        open_ = journal.load(paths)
        if open_ is None or open_.txn == txn:
            return None
        if open_.state is State.STUCK and not _is_held(paths):  # and no process is retrying it
            return open_
        if time.monotonic() >= deadline:
            raise Refused(_locked_failure(paths, open_))
        time.sleep(POLL)


def _locked_failure(paths: Paths, open_: Journal) -> Failure:
    found = holder(paths)
    whose = locks.describe(found) if found else f"the {open_.what}, in {open_.state.value}"
    return locks.locked(paths.app, whose)


def advance(paths: Paths, open_: Journal, state: State) -> Journal:
    """Journal the next state of staging (BUILD), before its effect."""
    return journal.move(paths, open_, state)


def discard(paths: Paths, host: Host, open_: Journal, failure: Failure) -> Settled:
    """Remove a release that was never activated, and record the attempt.

    If its driver runs nevertheless, request a rollback from it and return how it ended.

    Raises:
        Refused: `locked`: its driver keeps running.
    """
    if open_.state is State.ARM:
        runner.claim_rollback(paths, open_)
    try:
        with files.lock(paths.txn_lock, locks.note(open_.attempt, ""), LOCK_WAIT):
            now = journal.load(paths)
            if now is None or now.txn != open_.txn:
                return _settled_already(paths, open_)
            context = EffectContext(paths, host, EventLogWriter(paths))
            settled = runner.run_to_end(
                context, runner.enter_state(context, now, State.DISCARD, failure)
            )
            prune.delete_marked(paths)  # no driver will; no env file may be left
            return settled
    except files.Locked:
        raise Refused(_locked_failure(paths, open_)) from None


def _settled_already(paths: Paths, open_: Journal) -> Settled:
    attempts = history.entries(paths)
    outcome = history.outcome_of(attempts, open_.txn)
    top = history.head(attempts)
    ends = {"": "discarded", history.FAILED: "discarded"}
    known = ends.get(outcome, outcome if outcome in history.OUTCOMES else "stuck")
    return Settled(open_.txn, known, top.release if top else "", open_.failure)


def launch(paths: Paths, host: Host, activate: Activate, *, agent_zip: str, python: str) -> None:
    """Journal ARM, write the lease, and start the driver's transient unit. Returns at once.

    The caller holds paths.session_lock. Begins a transaction if this attempt has none (a rollback).
    `activate.lock_wait`: seconds to wait for another open transaction to end.

    Raises:
        Refused: locked, changed-meanwhile, release-missing, driver-refused; nothing has changed
            then, and the caller calls `discard` if a journal of this attempt is open.
    """
    open_ = journal.load(paths)
    if open_ is None or open_.txn != activate.attempt.txn:
        _without_another(paths, activate.attempt.txn, activate.lock_wait)
        _refuse_if_changed(paths, activate.before)
        open_ = None
    found = releases.manifest(paths, activate.release)
    if found is None:
        what = f"release {activate.release} is not on this host"
        raise Refused(
            Failure("release-missing", what, State.ARM.value, "shipit releases lists them")
        )
    if open_ is None:
        open_ = begin(paths, activate.attempt, found.id, fresh=False, version=found.version)
    _await_unit_name(paths, host)
    lease.clear(paths)
    armed = replace(
        open_, agent=agent_zip, python=python, version=found.version, confirm=activate.confirm
    )
    armed = journal.move(paths, armed, State.ARM)
    lease.write(paths, host, armed.txn, activate.lease)
    files.touch(agent_zip)  # in use: pruning keeps it
    names = effects.unit_names(paths, armed)
    done = host.start_driver(paths.unit, effects.driver_argv(paths, armed), after=names)
    if not done.ok:
        what = f"systemd did not start {paths.unit}"
        raise Refused(Failure("driver-refused", what, State.ARM.value, evidence=done.output))


def _refuse_if_changed(paths: Paths, before: Optional[str]) -> None:
    """Refuse a rollback that was planned for another running release."""
    if before is None:
        return
    top = history.head(history.entries(paths))
    now = top.release if top else ""
    if now != before:
        what = f"the running release is now {now or 'none'}; it was {before or 'none'} when planned"
        hint = "check shipit status; roll back again if you still want to"
        raise Refused(Failure("changed-meanwhile", what, State.ARM.value, hint))


def _await_unit_name(paths: Paths, host: Host) -> None:
    """Wait until the last transaction's process has ended: the name of its unit is the mutex.

    That transaction is over. Its process only prunes, which may take long and can be interrupted
    anywhere.
    """
    began, was_stopped = host.now(), False
    while host.show([paths.unit])[paths.unit].is_up:
        if not was_stopped and host.now() - began >= PRUNING_TIME:
            was_stopped = True
            host.systemctl("stop", [paths.unit], timeout=UNIT_NAME_WAIT)
        if host.now() - began >= UNIT_NAME_WAIT:
            what = f"{paths.unit} is still running"
            hint = f"see shipit status PLAYBOOK; on the host: systemctl status {paths.unit}"
            raise Refused(Failure("driver-refused", what, State.ARM.value, hint))
        host.sleep(POLL)


def attached(paths: Paths) -> Optional[Attached]:
    """Return the running transaction; None if there is none to follow."""
    open_ = journal.load(paths)
    if open_ is None or open_.state is State.STUCK:
        return None
    has_session = files.lock_note(paths.session_lock) is not None
    found = holder(paths)
    if found is None or found.attempt.txn != open_.txn:  # its driver has not begun yet
        found = Holder(open_.attempt, 0, open_.state.value, 0.0)
    return Attached(found, open_.release, has_session)


def follow(
    paths: Paths, host: Host, *, timeout: float = 86400.0, is_guest: bool = False
) -> Iterator[Any]:
    """Yield the driver's messages (StepBegan, StepEnded, Probed, Failure, Healthy), last Settled.

    Starts with the transaction's first message, from any process. Recovers the transaction if its
    driver has died for good. Yields nothing if there was never a transaction. `is_guest`: leave
    staging to the session that began it, which may live elsewhere.

    Raises:
        Refused: follow-timeout.
    """
    try:
        yield from _followed(paths, host, timeout=timeout, is_guest=is_guest)
    except OSError as error:  # no process can settle it on this disk
        failure, open_ = from_os_error(error, "recover"), journal.load(paths)
        if open_ is None:
            raise Refused(failure) from error
        yield Settled(open_.txn, "stuck", releases.pointed(paths), failure)


def _followed(paths: Paths, host: Host, *, timeout: float, is_guest: bool) -> Iterator[Any]:
    reader, open_ = EventLogReader(paths), journal.load(paths)
    end = host.now() + timeout
    pause, checked_at, over = FIRST_PAUSE, host.now(), False
    while True:
        for message in reader.unread():
            if _is_of_another(message, open_):
                continue
            yield message
            if isinstance(message, Settled):
                return
            pause, checked_at = FIRST_PAUSE, host.now()
        if over:
            break
        if host.now() >= end:
            raise Refused(Failure("follow-timeout", f"no end within {timeout:g} s", "follow"))
        if open_ is None or host.now() - checked_at >= CHECK_INTERVAL:
            checked_at, over = host.now(), _is_over(paths, host, is_guest=is_guest)
        else:
            host.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
    if open_ is not None:
        yield _lost_end(paths, open_)


def _is_of_another(message: Any, open_: Optional[Journal]) -> bool:
    """Whether a message is the end of the previous transaction, logged after the next had begun."""
    return open_ is not None and getattr(message, "txn", open_.txn) != open_.txn


def _is_over(paths: Paths, host: Host, *, is_guest: bool) -> bool:
    """Whether the log is complete. Settles a transaction that its driver has left."""
    now = journal.load(paths)
    if now is None or now.state is State.STUCK:
        return not _is_held(paths)
    if is_guest:
        recovery.recover(paths, host)
        return False
    if now.state.is_staging or recovery.is_driven(paths, host, now):
        return False
    recovery.recover_abandoned(paths, host)
    return False


def _is_held(paths: Paths) -> bool:
    return files.lock_note(paths.txn_lock) is not None


def _lost_end(paths: Paths, open_: Journal) -> Settled:
    """Return how a transaction ended whose Settled message was lost."""
    now = journal.load(paths)
    if now is not None and now.txn == open_.txn:
        return Settled(now.txn, "stuck", releases.pointed(paths), now.failure)
    return _settled_already(paths, open_)


def renew(paths: Paths, host: Host, txn: str, seconds: float) -> None:
    """Renew the lease of a running transaction: it ends `seconds` from now."""
    open_ = journal.load(paths)
    if open_ is None or open_.txn != txn:
        return
    if not (open_.state.is_staging or open_.state.is_end):
        lease.write(paths, host, txn, seconds)


def settle(paths: Paths, txn: str, verdict: str) -> str:
    """Give the verdict (commit or revert) and return the one that won: the first.

    For a transaction that has ended, return how it ended. A commit before Healthy is not accepted:
    returns "".
    """
    open_ = journal.load(paths)
    if open_ is None or open_.txn != txn:
        committed = history.outcome_of(history.entries(paths), txn) == history.COMMITTED
        return lease.COMMIT if committed else lease.REVERT
    if open_.state in (State.REVERT, State.DISCARD, State.COMMIT, State.STUCK):
        return lease.verdict(paths, txn) or lease.REVERT
    if verdict == lease.COMMIT and not open_.healthy:
        return lease.verdict(paths, txn)
    return lease.claim(paths, txn, verdict)


def stuck(paths: Paths) -> str:
    """Return what an operator must do here; "" for nothing."""
    open_ = journal.load(paths)
    if open_ is None or open_.state is not State.STUCK:
        return ""
    failure = open_.failure
    why = f": [{failure.code}] {failure.what}" if failure else ""
    if failure and failure.code == journal.UNREADABLE:
        why += f" ({failure.hint})"
    return (
        f"{open_.what} needs an operator{why}. Rollback target: {open_.previous or 'none'}. See"
        f" `shipit logs PLAYBOOK --limit HOST` (on the host: `systemctl status '{paths.app}-*'`),"
        " fix the cause, then deploy or roll back again:"
        " the rollback is retried first, and a new release is accepted in any case"
    )


def lock_note(attempt: Attempt, phase: str = locks.SESSION) -> bytes:
    """Return the content for paths.session_lock, from which `holder` reads its owner."""
    return locks.note(attempt, phase)


def holder(paths: Paths) -> Optional[Holder]:
    """Return the current owner of the transaction or session lock; None if both are free."""
    return locks.holder(paths, time.time())

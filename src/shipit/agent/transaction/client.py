"""What a session does with a transaction: begin it, launch its driver, follow it, give the verdict.

The session may die at any moment; the transaction does not need it. `transact` (the main of the
transient unit) is `driver`'s, `recover` (for what nobody drives any more) is `recovery`'s.
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
from . import effects, recovery, runner  # fmt: skip
from .effects import EffectContext
from .recovery import recover, recover_at_boot
from .runner import transact

__all__ = [
    "advance", "attached", "begin", "discard", "follow", "holder", "launch", "lock_note", "recover",
    "recover_at_boot", "renew", "settle", "stuck", "transact",
]  # fmt: skip

POLL = 0.02  # seconds
FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.05  # seconds between looks at what the driver says
LOOK_INTERVAL = 0.5  # seconds of silence after which the driver is looked at
UNIT_NAME_WAIT = 30.0  # seconds for the last transaction's unit to be gone
SWEEPING = 2.0  # seconds of these in which it may go on sweeping; the next one sweeps the rest
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
    seconds to wait for another's open transaction to end. A stuck one, whose journal can't be read
    for instance, is superseded: its units are known to this one, and go. So do those of a running
    release whose manifest is lost.

    Raises:
        Refused: `locked`: another transaction is open; says whose.
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
    """Return what `current` names where the ledger is lost: a way back is better than none."""
    pointed = releases.pointed(paths)
    return pointed if releases.manifest(paths, pointed) else ""


def _without_another(paths: Paths, txn: str, wait: float) -> Optional[Journal]:
    """Wait until no other transaction is open; return a stuck one, which may be superseded."""
    deadline = time.monotonic() + wait
    while True:
        open_ = journal.load(paths)
        if open_ is None or open_.txn == txn:
            return None
        if open_.state is State.STUCK and not _is_held(paths):  # nobody is just trying it again
            return open_
        if time.monotonic() >= deadline:
            raise Refused(_locked(paths, open_))
        time.sleep(POLL)


def _locked(paths: Paths, open_: Journal) -> Failure:
    found = holder(paths)
    whose = locks.told(found) if found else f"the {open_.what}, in {open_.state.value}"
    return locks.locked(paths.app, whose)


def advance(paths: Paths, open_: Journal, state: State) -> Journal:
    """Journal the next state of staging (BUILD), before its effect."""
    return journal.move(paths, open_, state)


def discard(paths: Paths, host: Host, open_: Journal, failure: Failure) -> Settled:
    """Give up a release that was never activated: what was made is removed, the attempt recorded.

    Should its driver run nevertheless, it is told to go back, and what came of it is returned.

    Raises:
        Refused: `locked`: its driver runs and does not end.
    """
    if open_.state is State.ARM:
        runner.claim_way_back(paths, open_)
    try:
        with files.lock(paths.txn_lock, locks.note(open_.attempt, ""), LOCK_WAIT):
            now = journal.load(paths)
            if now is None or now.txn != open_.txn:
                return _settled_already(paths, open_)
            stage = EffectContext(paths, host, EventLogWriter(paths))
            settled = runner.to_the_end(stage, runner.moved(stage, now, State.DISCARD, failure))
            prune.delete_marked(paths)  # no driver will; an env file must not lie about
            return settled
    except files.Locked:
        raise Refused(_locked(paths, open_)) from None


def _settled_already(paths: Paths, open_: Journal) -> Settled:
    attempts = history.entries(paths)
    outcome = history.outcome_of(attempts, open_.txn)
    top = history.head(attempts)
    ends = {"": "discarded", history.FAILED: "discarded"}
    known = ends.get(outcome, outcome if outcome in history.OUTCOMES else "stuck")
    return Settled(open_.txn, known, top.release if top else "", open_.failure)


def launch(paths: Paths, host: Host, activate: Activate, *, agent_zip: str, python: str) -> None:
    """Journal ARM, write the lease, and start the driver's transient unit. Returns at once.

    The caller holds paths.session_lock. Without an open journal of this attempt (a rollback) one
    is begun. `activate.lock_wait`: seconds to wait for another's open transaction to end.

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
    files.touch(agent_zip)  # it is in use: pruning spares it
    names = effects.unit_names(paths, armed)
    done = host.start_driver(paths.unit, effects.driver_argv(paths, armed), after=names)
    if not done.ok:
        what = f"systemd did not start {paths.unit}"
        raise Refused(Failure("driver-refused", what, State.ARM.value, evidence=done.output))


def _refuse_if_changed(paths: Paths, before: Optional[str]) -> None:
    """Refuse a rollback that was decided when another release was the last good one."""
    if before is None:
        return
    top = history.head(history.entries(paths))
    now = top.release if top else ""
    if now != before:
        what = f"{now or 'nothing'} is committed by now, and it was {before or 'nothing'} before"
        hint = "look at shipit status; roll back again if that is still wanted"
        raise Refused(Failure("changed-meanwhile", what, State.ARM.value, hint))


def _await_unit_name(paths: Paths, host: Host) -> None:
    """Wait until the last transaction's process has gone: the name of its unit is the mutex.

    No transaction is open but ours: what is left to it is to remove old releases, which may take
    long and be broken off anywhere.
    """
    began, is_told = host.now(), False
    while host.show([paths.unit])[paths.unit].is_up:
        if not is_told and host.now() - began >= SWEEPING:
            is_told = True
            host.systemctl("stop", [paths.unit], timeout=UNIT_NAME_WAIT)
        if host.now() - began >= UNIT_NAME_WAIT:
            what = f"{paths.unit} still runs"
            hint = f"see shipit status PLAYBOOK; on the host: systemctl status {paths.unit}"
            raise Refused(Failure("driver-refused", what, State.ARM.value, hint))
        host.sleep(POLL)


def attached(paths: Paths) -> Optional[Attached]:
    """Say what runs here, for somebody to follow; None for nothing."""
    open_ = journal.load(paths)
    if open_ is None or open_.state is State.STUCK:
        return None
    is_led = files.lock_note(paths.session_lock) is not None
    found = holder(paths)
    if found is None or found.attempt.txn != open_.txn:  # its driver has yet to begin
        found = Holder(open_.attempt, 0, open_.state.value, 0.0)
    return Attached(found, open_.release, is_led)


def follow(
    paths: Paths, host: Host, *, timeout: float = 86400.0, is_guest: bool = False
) -> Iterator[Any]:
    """Yield what the driver says (StepBegan, StepEnded, Probed, Failure, Healthy), last Settled.

    From the transaction's first word on, from any process. Where the driver has died for good,
    the transaction is recovered here. Yields nothing where there was never a transaction.
    `is_guest`: the session that began it may live elsewhere, and what it has begun is left to it.

    Raises:
        Refused: follow-timeout.
    """
    try:
        yield from _followed(paths, host, timeout=timeout, is_guest=is_guest)
    except OSError as error:  # nobody can settle it on this disk
        failure, open_ = from_os_error(error, "recover"), journal.load(paths)
        if open_ is None:
            raise Refused(failure) from error
        yield Settled(open_.txn, "stuck", releases.pointed(paths), failure)


def _followed(paths: Paths, host: Host, *, timeout: float, is_guest: bool) -> Iterator[Any]:
    ear, open_ = EventLogReader(paths), journal.load(paths)
    end = host.now() + timeout
    pause, looked, over = FIRST_PAUSE, host.now(), False
    while True:
        for message in ear.heard():
            if _is_of_another(message, open_):
                continue
            yield message
            if isinstance(message, Settled):
                return
            pause, looked = FIRST_PAUSE, host.now()
        if over:
            break
        if host.now() >= end:
            raise Refused(Failure("follow-timeout", f"no end within {timeout:g} s", "follow"))
        if open_ is None or host.now() - looked >= LOOK_INTERVAL:
            looked, over = host.now(), _is_over(paths, host, is_guest=is_guest)
        else:
            host.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
    if open_ is not None:
        yield _last_word(paths, open_)


def _is_of_another(message: Any, open_: Optional[Journal]) -> bool:
    """Whether this is the last word of the transaction before, said when the next had begun."""
    return open_ is not None and getattr(message, "txn", open_.txn) != open_.txn


def _is_over(paths: Paths, host: Host, *, is_guest: bool) -> bool:
    """Whether nothing more will be said; a transaction that its driver has left is settled here."""
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


def _last_word(paths: Paths, open_: Journal) -> Settled:
    """Say how a transaction ended whose own last word was lost."""
    now = journal.load(paths)
    if now is not None and now.txn == open_.txn:
        return Settled(now.txn, "stuck", releases.pointed(paths), now.failure)
    return _settled_already(paths, open_)


def renew(paths: Paths, host: Host, txn: str, seconds: float) -> None:
    """Let the lease end `seconds` from now, where the transaction has one and is not over."""
    open_ = journal.load(paths)
    if open_ is None or open_.txn != txn:
        return
    if not (open_.state.is_staging or open_.state.is_end):
        lease.write(paths, host, txn, seconds)


def settle(paths: Paths, txn: str, verdict: str) -> str:
    """Give the verdict (commit or revert) and return the one that won: the first.

    A transaction that has ended answers what it came to. A commit before Healthy is not accepted:
    the answer is "".
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
    """Say what a person has to do here; "" for nothing."""
    open_ = journal.load(paths)
    if open_ is None or open_.state is not State.STUCK:
        return ""
    failure = open_.failure
    why = f": [{failure.code}] {failure.what}" if failure else ""
    if failure and failure.code == journal.UNREADABLE:
        why += f" ({failure.hint})"
    return (
        f"{open_.what} needs a person{why}. Wanted back: {open_.previous or 'nothing'}. See"
        f" `shipit logs PLAYBOOK --limit HOST` (on the host: `systemctl status '{paths.app}-*'`),"
        " fix the cause, then deploy or roll back again:"
        " going back is tried once more first, and a new release is accepted in any case"
    )


def lock_note(attempt: Attempt, phase: str = locks.SESSION) -> bytes:
    """Return the content for paths.session_lock, so that `holder` can say whose it is."""
    return locks.note(attempt, phase)


def holder(paths: Paths) -> Optional[Holder]:
    """Say who drives or stages right now; None for nobody."""
    return locks.holder(paths, time.time())

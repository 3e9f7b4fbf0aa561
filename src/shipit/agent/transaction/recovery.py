"""Settle an abandoned transaction: after a lost session, a dead driver or a reboot.

Safe to call at any time from any number of processes: the one that gets the lock acts.
"""

from dataclasses import replace
from typing import Optional

from ..host.host import Host
from ..protocol.messages import Failure, Settled
from ..records import journal, locks
from ..records.event_log import EventLogWriter
from ..records.journal import Journal
from ..records.states import State
from ..system import files, folders
from ..system.failures import Refused
from ..system.paths import Paths
from . import boot_unit, effects
from .effects import EffectContext
from .runner import failure_of, report_end, resume, run_to_end

LOCK_WAIT = 0.2  # seconds; a process may just be reading the lock's owner
BOOT_LOCK_WAIT = 60.0  # seconds; below boot_unit.TIMEOUT
OF_A_SESSION = (State.RECEIVE, State.BUILD, State.ARM, State.DISCARD)


def recover(paths: Paths, host: Host) -> str:
    """Settle an abandoned transaction; return a summary, "" if there was none.

    Retries a stuck one. During boot, restore only the disk (units, `current`) and start a driver
    that does the rest once the boot has progressed.
    """
    open_ = journal.load(paths)
    if open_ is None:
        boot_unit.disarm(paths)
        return ""
    if has_session(paths, open_) or is_driven(paths, host, open_):
        return ""
    return recover_abandoned(paths, host)


def recover_at_boot(paths: Paths, host: Host) -> str:
    """Do the same as the main of the boot unit, which waits for another process at work.

    Raises:
        Refused: locked: another process holds an open transaction; try again.
    """
    folders.secure(paths)
    sentence = recover(paths, host)
    open_ = journal.load(paths)
    if sentence or open_ is None or has_session(paths, open_):
        return sentence
    if host.show([paths.unit])[paths.unit].is_up:
        return ""  # systemd restarts it until the transaction ends
    try:
        return _recover(paths, host, BOOT_LOCK_WAIT)
    except files.Locked:
        found = locks.holder(paths, host.wall())
        raise Refused(locks.locked(paths.app, locks.describe(found))) from None


def has_session(paths: Paths, open_: Journal) -> bool:
    """Whether a live session owns the transaction; an unreadable one may belong to a session."""
    of_a_session = open_.state in OF_A_SESSION or not open_.readable
    return of_a_session and files.lock_note(paths.session_lock) is not None


def is_driven(paths: Paths, host: Host, open_: Journal) -> bool:
    """Whether a process holds the transaction, or its unit will restart one."""
    if files.lock_note(paths.txn_lock) is not None:
        return True
    return not open_.state.is_staging and host.show([paths.unit])[paths.unit].is_up


def recover_abandoned(paths: Paths, host: Host) -> str:
    """Settle the open transaction, unless another process is at work on it."""
    try:
        return _recover(paths, host, LOCK_WAIT)
    except files.Locked:
        return ""


def _recover(paths: Paths, host: Host, wait: float) -> str:
    open_ = journal.load(paths)
    if open_ is None:
        return ""
    context = EffectContext(paths, host, EventLogWriter(paths))
    with files.lock(paths.txn_lock, locks.note(open_.attempt, ""), wait):
        open_ = journal.load(paths)
        settled = _settle(context, open_) if open_ is not None else None
    if open_ is None:
        return ""
    if settled is None:
        return f"the {open_.what} was interrupted by a reboot and is being undone"
    report_end(context, settled)
    return _summary(open_, settled)


def _settle(context: EffectContext, open_: Journal) -> Optional[Settled]:
    EventLogWriter(context.paths).terminate_line()
    host = context.host
    rebooted = open_.boot not in ("", host.boot_id())
    onward = resume(context, open_)
    if onward.state is State.REVERT and rebooted and host.booting():
        _hand_to_boot(context, onward)
        return None
    return run_to_end(context, onward)


def _hand_to_boot(context: EffectContext, open_: Journal) -> None:
    """Restore the disk before the app's units start, and leave the rest to a driver.

    Raises:
        Refused: driver-refused; try again.
    """
    paths, host = context.paths, context.host
    try:
        effects.revert_on_disk(context, open_)
        views = host.show(effects.unit_names(paths, open_))
        clean = not any(view.is_up for view in views.values())
        journal.save(paths, replace(open_, boot=host.boot_id(), clean=clean))
    except (Refused, OSError) as error:
        context.emit(failure_of(error, open_.state.value))  # the driver will meet it again
    argv, units = effects.driver_argv(paths, open_), effects.unit_names(paths, open_)
    done = host.start_driver(paths.unit, argv, after=units, wait=False)
    if not done.ok:
        what = f"systemd did not start {paths.unit}"
        raise Refused(Failure("driver-refused", what, open_.state.value, evidence=done.output))


def _summary(open_: Journal, settled: Settled) -> str:
    ends = {"committed": "finished", "stuck": "retried without success"}
    runs = f"release {settled.running} runs" if settled.running else "nothing runs"
    how = ends.get(settled.outcome, "undone")
    if not open_.readable and open_.failure:
        return f"[{open_.failure.code}] {open_.failure.what}; it was {how}: {runs}"
    return f"the {open_.what} was interrupted and was {how}: {runs}"

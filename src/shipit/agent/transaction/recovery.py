"""Settle a transaction that nobody drives any more: after a lost session, a dead driver, a reboot.

Safe to call at any time by any number of processes: whoever gets the transaction's lock acts.
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
from .runner import failure_of, said, taken_up, to_the_end

LOCK_WAIT = 0.2  # seconds; somebody may just be looking whose the lock is
BOOT_LOCK_WAIT = 60.0  # seconds; below bootunit.TIMEOUT
OF_A_SESSION = (State.RECEIVE, State.BUILD, State.ARM, State.DISCARD)


def recover(paths: Paths, host: Host) -> str:
    """Settle an open transaction that nobody drives; say what was done, "" for nothing.

    A stuck one is tried again. During boot only the disk is put right (units, `current`), and a
    driver is started that does the rest when the boot has come that far.
    """
    open_ = journal.load(paths)
    if open_ is None:
        boot_unit.disarm(paths)
        return ""
    if is_led(paths, open_) or is_driven(paths, host, open_):
        return ""
    return recover_abandoned(paths, host)


def recover_at_boot(paths: Paths, host: Host) -> str:
    """Do the same as the main of the boot-time unit, which waits for whoever is at it.

    Raises:
        Refused: locked: somebody else holds an open transaction; to be tried again.
    """
    folders.secure(paths)
    sentence = recover(paths, host)
    open_ = journal.load(paths)
    if sentence or open_ is None or is_led(paths, open_):
        return sentence
    if host.show([paths.unit])[paths.unit].is_up:
        return ""  # and is started again until it has ended it
    try:
        return _recovered(paths, host, BOOT_LOCK_WAIT)
    except files.Locked:
        found = locks.holder(paths, host.wall())
        raise Refused(locks.locked(paths.app, locks.told(found))) from None


def is_led(paths: Paths, open_: Journal) -> bool:
    """Whether a live session has the transaction; one that can't be read may be of a session."""
    of_a_session = open_.state in OF_A_SESSION or not open_.readable
    return of_a_session and files.lock_note(paths.session_lock) is not None


def is_driven(paths: Paths, host: Host, open_: Journal) -> bool:
    """Whether a process holds the transaction, or its unit will start one again."""
    if files.lock_note(paths.txn_lock) is not None:
        return True
    return not open_.state.is_staging and host.show([paths.unit])[paths.unit].is_up


def recover_abandoned(paths: Paths, host: Host) -> str:
    """Settle the open transaction; nothing where somebody else is just at it."""
    try:
        return _recovered(paths, host, LOCK_WAIT)
    except files.Locked:
        return ""


def _recovered(paths: Paths, host: Host, wait: float) -> str:
    open_ = journal.load(paths)
    if open_ is None:
        return ""
    stage = EffectContext(paths, host, EventLogWriter(paths))
    with files.lock(paths.txn_lock, locks.note(open_.attempt, ""), wait):
        open_ = journal.load(paths)
        settled = _settled(stage, open_) if open_ is not None else None
    if open_ is None:
        return ""
    if settled is None:
        return f"the {open_.what} had been interrupted by a reboot and is being undone"
    said(stage, settled)
    return _sentence(open_, settled)


def _settled(stage: EffectContext, open_: Journal) -> Optional[Settled]:
    EventLogWriter(stage.paths).terminate_line()
    host = stage.host
    rebooted = open_.boot not in ("", host.boot_id())
    onward = taken_up(stage, open_)
    if onward.state is State.REVERT and rebooted and host.booting():
        _hand_to_boot(stage, onward)
        return None
    return to_the_end(stage, onward)


def _hand_to_boot(stage: EffectContext, open_: Journal) -> None:
    """Put the disk right before the app's units are started, and leave the rest to a driver.

    Raises:
        Refused: driver-refused; to be tried again.
    """
    paths, host = stage.paths, stage.host
    try:
        effects.revert_on_disk(stage, open_)
        views = host.show(effects.unit_names(paths, open_))
        clean = not any(view.is_up for view in views.values())
        journal.save(paths, replace(open_, boot=host.boot_id(), clean=clean))
    except (Refused, OSError) as error:
        stage.emit(failure_of(error, open_.state.value))  # the driver meets it again, in peace
    argv, units = effects.driver_argv(paths, open_), effects.unit_names(paths, open_)
    done = host.start_driver(paths.unit, argv, after=units, wait=False)
    if not done.ok:
        what = f"systemd did not start {paths.unit}"
        raise Refused(Failure("driver-refused", what, open_.state.value, evidence=done.output))


def _sentence(open_: Journal, settled: Settled) -> str:
    ends = {"committed": "finished", "stuck": "tried again in vain"}
    runs = f"release {settled.running} runs" if settled.running else "nothing runs"
    how = ends.get(settled.outcome, "undone")
    if not open_.readable and open_.failure:
        return f"[{open_.failure.code}] {open_.failure.what}; it was {how}: {runs}"
    return f"the {open_.what} had been interrupted and was {how}: {runs}"

"""Settle an abandoned transaction: after a lost session, a dead driver or a reboot.

Safe to call at any time from any number of processes: the one that gets the lock acts. What is
abandoned is either left to a live process, run to its end here, or, if units have to be started
during a boot, handed to a driver that runs after it.
"""

from dataclasses import replace

from ..protocol.answers import Result
from ..protocol.messages import Settled
from ..records import drained
from ..system import files, folders
from ..system.failures import Refused
from . import boot_unit
from .balancer import overdue
from .effects.context import EffectContext
from .effects.undoing import revert_on_disk
from .journal import Journal
from .runner import failure_of, report_end, resume, run
from .states import waits_for_boot
from .store import Store

LOCK_WAIT = 0.2  # seconds; a process may just be reading the lock's owner
BOOT_LOCK_WAIT = 60.0  # seconds; below boot_unit.TIMEOUT
ENDS = {Result.COMMITTED: "finished", Result.STUCK: "retried without success"}


def recover(store: Store) -> str:
    """Settle an abandoned transaction; return a summary, "" if there was none.

    Retries a stuck one. During boot, restore only the disk (units, `current`) and start a driver
    that does the rest once the boot has progressed.
    """
    open_ = store.load()
    if open_ is None:
        boot_unit.disarm(store.paths)
        return overdue.undrain(store)
    if _has_session(store, open_) or is_driven(store, open_):
        return ""
    return recover_abandoned(store)


def recover_at_boot(store: Store) -> str:
    """Do the same as the main of the boot unit, which waits for another process at work.

    Raises:
        Refused: locked: another process holds an open transaction; try again.
    """
    folders.secure(store.paths)
    sentence, open_ = recover(store), store.load()
    if sentence or open_ is None or _has_session(store, open_) or _is_up(store):
        return sentence  # a unit that is up is restarted by systemd until the transaction ends
    try:
        return _settle(store, BOOT_LOCK_WAIT)
    except files.Locked:
        raise Refused(store.locked()) from None


def recover_abandoned(store: Store) -> str:
    """Settle the open transaction, unless another process is at work on it."""
    try:
        return _settle(store, LOCK_WAIT)
    except files.Locked:
        return ""


def is_driven(store: Store, open_: Journal) -> bool:
    """Whether a process holds the transaction, or its unit will restart one."""
    return store.has_driver() or (not open_.state.is_staging and _is_up(store))


def _has_session(store: Store, open_: Journal) -> bool:
    """Whether a live session owns the transaction; an unreadable one may belong to a session."""
    return (open_.state.may_have_session or not open_.readable) and store.has_session()


def _is_up(store: Store) -> bool:
    unit = store.paths.unit
    return store.host.show([unit])[unit].is_up


def _settle(store: Store, wait: float) -> str:
    open_ = store.load()
    if open_ is None:
        return ""
    context = EffectContext.of_driver(store)
    with store.driving(open_.attempt, wait):
        open_ = store.load()
        if open_ is None:
            return ""
        onward = resume(context, open_)
        rebooted = onward.boot not in ("", store.host.boot_id())
        waits = rebooted and waits_for_boot(
            onward.state, booting=store.host.booting(), drained=bool(drained.read(store.paths))
        )
        if waits:
            _hand_to_boot(context, onward)
            return f"the {open_.what} was interrupted by a reboot and is being undone"
        settled = run(context, onward)
    report_end(context, settled)
    return _summary(open_, settled)


def _hand_to_boot(context: EffectContext, open_: Journal) -> None:
    """Restore the disk before the app's units start, and leave the rest to a driver.

    Raises:
        Refused: driver-refused; try again.
    """
    store, host, names = context.store, context.host, boot_unit.unit_names(context.paths, open_)
    try:
        revert_on_disk(context, open_)
        clean = not any(view.is_up for view in host.show(names).values())
        store.save(replace(open_, boot=host.boot_id(), clean=clean))
    except (Refused, OSError) as error:
        context.emit(failure_of(error, open_.state.value))  # the driver will meet it again
    boot_unit.start_driver(store, open_, wait=False)


def _summary(open_: Journal, settled: Settled) -> str:
    runs = f"release {settled.running} runs" if settled.running else "nothing runs"
    how = ENDS.get(settled.outcome, "undone")
    if not open_.readable and open_.failure:
        return f"[{open_.failure.code}] {open_.failure.what}; it was {how}: {runs}"
    return f"the {open_.what} was interrupted and was {how}: {runs}"

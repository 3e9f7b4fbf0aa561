"""The way back: roll back to the previous release, or remove one that was never activated."""

from contextlib import suppress
from dataclasses import replace
from typing import Dict, FrozenSet, Optional, Tuple

from ...activation import owners, switch, trial
from ...health import gate
from ...host.host import Host
from ...protocol import hooks
from ...protocol.answers import Result
from ...protocol.manifest import Manifest
from ...protocol.messages import Failure, StepFailed
from ...records import app_root, drained, releases
from ...system.paths import Paths
from .. import tidy
from ..hooks import interrupted, migration
from ..journal import Journal
from ..states import Ending, State
from .context import EffectContext, Ended, record
from .draining import drain_or_report, undrain_or_report
from .hooked import reported


def revert(context: EffectContext, open_: Journal) -> Ended:
    """Roll back to the previous release, and check that it is healthy."""
    paths, host = context.paths, context.host
    context.store.replace_by_revert(open_.txn)
    drain_or_report(context, open_)
    began, previous = host.wall(), releases.verified(paths, open_.previous)
    if open_.previous and previous is None:
        what = f"the previous release {open_.previous} is no longer on this host"
        return Ended(Ending.HOPELESS, Failure("previous-missing", what, State.REVERT.value))
    for candidate in tidy.possible_trials(paths, open_):
        trial.clear(paths, host, candidate)
    switch.switch(paths, host, _rollback_switch(paths, host, open_, previous))
    if previous is not None:
        watched = gate.context(paths, host, previous, began, open_.untouched)
        failure = gate.run(host, watched, context.emit, lambda: None)
        if failure is not None:
            return Ended(Ending.HOPELESS, replace(failure, step=State.REVERT.value))
        undrain_or_report(context, open_)
    else:
        drained.remove(paths)  # nothing runs here that could be undrained
    with suppress(OSError):  # else they are restarted once more if this state is started again
        open_ = context.store.save(replace(open_, boot=host.boot_id(), clean=True))
    record(context, open_, Result.ROLLED_BACK)
    is_deploy = not open_.is_rollback
    ended = reported(context, open_, open_.release, hooks.ON_ROLLBACK) if is_deploy else Ended()
    tidy.views(paths, host, open_.previous)
    tidy.after_undoing(paths, open_, keep_evidence=previous is not None)
    return replace(ended, failure=migration.what_stays(context.paths, open_))


def revert_on_disk(context: EffectContext, open_: Journal) -> None:
    """Do the part of a rollback that needs no running unit: for the boot."""
    app_root.require(context.paths)
    if open_.state is State.DISCARD:
        return  # nothing was switched
    previous = releases.verified(context.paths, open_.previous)
    if open_.previous and previous is None:
        return  # the driver will report it
    switch.put_on_disk(
        context.paths, context.host, _rollback_switch(context.paths, context.host, open_, previous)
    )


def discard(context: EffectContext, open_: Journal) -> Ended:
    """Remove a release that was never activated."""
    open_ = interrupted.end(context.store, context.emit, open_)
    tried = releases.manifest(context.paths, open_.release)
    if tried is not None:
        trial.clear(context.paths, context.host, tried)
    _undrain_what_was_not_switched(context, open_)
    # First: it makes room for the history's line.
    tidy.after_undoing(context.paths, open_, keep_evidence=False)
    tidy.views(context.paths, context.host, open_.previous)
    record(context, open_, Result.DISCARDED)
    return Ended(failure=migration.what_stays(context.paths, open_))


def _undrain_what_was_not_switched(context: EffectContext, open_: Journal) -> None:
    """Undrain a host that this transaction has drained, if its release is healthy: it may boot."""
    paths, host = context.paths, context.host
    record, running = drained.read(paths), releases.manifest(paths, open_.previous)
    if record is None or record.txn != open_.txn or running is None:
        return
    watched = gate.context(paths, host, running, host.wall(), open_.untouched)
    failure = gate.run(host, watched, context.emit, lambda: None)
    if failure is None:
        undrain_or_report(context, open_)
    else:
        context.emit(StepFailed(failure))


def _rollback_switch(
    paths: Paths, host: Host, open_: Journal, previous: Optional[Manifest]
) -> switch.Switch:
    failed = releases.manifest(paths, open_.release)
    others = (*switch.unit_names(failed), *open_.strays)
    untouched = _untouched(host, open_, switch.unit_names(previous))
    return switch.Switch(
        previous,
        others,
        untouched,
        step=State.REVERT.value,
        limit=switch.limit(previous, failed),
        interrupted=lambda: None,
        kept_up=switch.kept_up(failed),
        moves=owners.moves(paths, host, previous, open_.handing),
        reverting=True,
    )


def _untouched(host: Host, open_: Journal, names: Tuple[str, ...]) -> FrozenSet[str]:
    """Return the units that still run as the previous release started them."""
    if open_.boot != host.boot_id():
        return frozenset()
    views = host.show(names)
    if open_.clean:  # what runs was started after the disk had been restored
        return frozenset(name for name, view in views.items() if view.is_up)
    before: Dict[str, str] = open_.untouched
    return frozenset(n for n, v in views.items() if v.invocation and v.invocation == before.get(n))

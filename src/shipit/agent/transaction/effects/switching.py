"""The way forward until the new release runs: arm, try it, switch to it."""

from dataclasses import replace
from functools import partial
from typing import Any, Dict

from ...activation import assets, owners, switch, trial
from ...health import bake
from ...protocol import hooks
from .. import boot_unit, verify
from ..hooks import migration
from ..hooks.command import Run
from ..hooks.migration import MIGRATE, MIGRATION
from ..journal import Journal
from ..states import Ending, State
from .context import EffectContext, Ended, previous_of, wanted_of
from .draining import drain, drain_or_report
from .hooked import hooked
from .verdict import rollback_reason


def arm(context: EffectContext, open_: Journal) -> Ended:
    """Make sure that a rollback is possible before anything is switched."""
    paths, host = context.paths, context.host
    wanted, previous = wanted_of(paths, open_), previous_of(paths, open_)
    is_rollback = open_.is_rollback
    verify.target(paths, wanted, is_rollback=is_rollback)
    if not is_rollback and open_.previous != wanted.id:  # a rollback may leave a damaged release
        verify.rollback_target(paths, previous)
    for running in (previous, wanted):
        assets.prepare(paths, host, running, lenient=is_rollback)
    waiting = switch.unit_names(wanted, previous)
    argv, before = boot_unit.driver_argv(paths, open_, "recover"), switch.unit_names(previous)
    views = boot_unit.arm(paths, host, boot_unit.texts(paths, argv, waiting), before)
    untouched = {name: view.invocation for name, view in views.items() if view.is_up}
    changes: Dict[str, Any] = {"untouched": untouched, "boot": host.boot_id(), "clean": False}
    changes["handing"] = owners.moves(paths, host, wanted, open_.handing)
    if wanted.gate.bake and previous is not None:
        changes["before"] = bake.measured(host, previous, wanted.gate.bake)
    return Ended(changes=changes)


def try_release(context: EffectContext, open_: Journal) -> Ended:
    """Migrate, then check the release on private sockets; at the end drain this host.

    A rollback target was checked before. Without a previous release there is nothing to drain.
    """
    paths, wanted = context.paths, wanted_of(context.paths, open_)
    if open_.is_rollback:
        drain_or_report(context, open_)
        return Ended()
    interrupted = partial(rollback_reason, context, open_)
    of = Run(context.store, context.emit, wanted, MIGRATE, interrupted)
    open_, failure = migration.run(of, open_)
    if MIGRATION in open_.hooks:  # nothing has interrupted it
        failure = failure or interrupted()
    failure = failure or trial.run(paths, context.host, wanted, context.emit, interrupted)
    if failure is not None:
        return Ended(Ending.ERROR, failure, {"hooks": open_.hooks})
    ended = hooked(context, open_, hooks.BEFORE_ACTIVATE)
    if ended.failure is None and open_.previous:
        failure = drain(context, open_, interrupted)
        ended = replace(ended, failure=failure, ending=Ending.ERROR) if failure else ended
    return ended


def activate(context: EffectContext, open_: Journal) -> Ended:
    """Switch to the new release."""
    paths, host = context.paths, context.host
    wanted, previous = wanted_of(paths, open_), previous_of(paths, open_)
    began = host.wall()
    others = (*switch.unit_names(previous), *open_.strays)
    to = switch.Switch(
        wanted,
        others,
        None,
        step=State.ACTIVATE.value,
        limit=switch.limit(wanted, previous),
        interrupted=lambda: rollback_reason(context, open_),
        kept_up=switch.kept_up(previous),
        moves=open_.handing,
        is_rollback=open_.is_rollback,
    )
    switch.switch(paths, host, to)
    ended = hooked(context, open_, hooks.AFTER_ACTIVATE)
    return replace(ended, changes={**ended.changes, "began": began})

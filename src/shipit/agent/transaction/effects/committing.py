"""The release runs: check its health, wait for the verdict, commit it."""

from dataclasses import replace
from functools import partial

from ...activation import switch
from ...health import bake, gate
from ...protocol import hooks
from ...protocol.answers import Result
from ...protocol.messages import Failure
from ...records import drained, registry, releases
from .. import tidy
from ..hooks import migration
from ..journal import UNKNOWN, Journal
from ..states import Ending, State
from ..store import COMMIT
from .context import EffectContext, Ended, previous_of, record, wanted_of
from .draining import undrain, undrain_or_report
from .hooked import hooked, reported
from .verdict import confirm, rollback_reason
from .watched import watch


def check(context: EffectContext, open_: Journal) -> Ended:
    """Check the release's health, undrain this host, then wait for the verdict.

    The first verdict wins. A host that cannot be undrained does not pass, so that no batch after it
    is drained as well; a rollback goes on.
    """
    paths, host = context.paths, context.host
    wanted = switch.before_commit(wanted_of(paths, open_))
    watched = gate.context(paths, host, wanted, open_.began, open_.untouched)
    failure = gate.run(host, watched, context.emit, lambda: rollback_reason(context, open_))
    if failure is None and not open_.is_rollback:
        failure = bake.observe(
            host, watched, open_.before, context.emit, lambda: rollback_reason(context, open_)
        )
    ended = hooked(context, open_, hooks.BEFORE_COMMIT) if failure is None else Ended()
    open_, failure = replace(open_, **ended.changes), failure or ended.failure
    may_be_out = wanted.balancer is not None or drained.read(paths) is not None
    if failure is None and open_.is_rollback:
        undrain_or_report(context, open_)
    elif failure is None:
        failure = undrain(context, open_, partial(rollback_reason, context, open_))
    if failure is None and (open_.hooks or may_be_out):
        failure = gate.check_units(host, watched)  # a hook, or the first clients, may end one
    if failure is None:
        context.store.save(replace(open_, healthy=True))
        failure = confirm(context, open_, watched)
    if failure is None or context.store.claim_rollback(open_.txn) == COMMIT:
        return Ended(changes=ended.changes)
    return Ended(Ending.ERROR, failure, ended.changes)


def commit(context: EffectContext, open_: Journal) -> Ended:
    """Record the release as committed, prune what it replaces, and go on watching it."""
    paths = context.paths
    if open_.release == UNKNOWN:
        what = "the commit was decided, but its release is no longer known"
        return Ended(Ending.HOPELESS, Failure("release-missing", what, State.COMMIT.value))
    record(context, open_, Result.COMMITTED)
    _start_timers(context, open_)
    tidy.around(paths, open_.release, [open_.previous])
    tidy.views(paths, context.host, open_.release)
    registry.note_committed(paths, open_.release)
    migration.note_committed(context.store, open_)
    unwatched = watch(context, open_)
    ended = (
        reported(context, open_, open_.previous, hooks.ON_ROLLBACK)
        if open_.is_rollback
        else reported(context, open_, open_.release, hooks.AFTER_COMMIT)
    )
    return replace(ended, failure=unwatched)


def _start_timers(context: EffectContext, open_: Journal) -> None:
    paths, host = context.paths, context.host
    committed = releases.manifest(paths, open_.release)
    # At boot they are ordered after the unit that runs this.
    how = "start" if open_.boot == host.boot_id() else "start --no-block"
    if committed is not None:
        switch.start_timers(paths, host, committed, previous_of(paths, open_), how)

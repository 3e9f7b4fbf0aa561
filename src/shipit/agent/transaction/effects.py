"""The effects of the transaction's states. Each can be killed anywhere and started again.

Each takes the journal as written before it, and returns how it ended. `states` decides what
follows, `runner` journals it.
"""

from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Callable, Dict, FrozenSet, Mapping, Optional, Protocol, Tuple

from ..activation import owners, switch, trial
from ..health import bake, gate
from ..health.gate import Context
from ..host.host import Host
from ..protocol import hooks as points
from ..protocol.answers import Result
from ..protocol.manifest import Manifest
from ..protocol.messages import Failure, Healthy
from ..records import app_root, history, registry, releases
from ..records.redactor import Redactor
from ..system.failures import Refused
from ..system.paths import Paths
from . import boot_unit, hooks, outcome, tidy, verify
from .hooks import ROLLBACK
from .journal import UNKNOWN, Journal
from .states import Ending, State
from .store import COMMIT, EXPIRED, REVERT, Store

UNITS_INTERVAL = 0.5  # seconds between unit checks while waiting for the verdict
VERDICT_PAUSE = 0.02  # seconds
BY_HOST = "host"  # who confirms a release: protocol.Activate.confirm


@dataclass(frozen=True)
class Ended:
    """How an effect ended."""

    ending: Ending = Ending.OK
    failure: Optional[Failure] = None
    changes: Mapping[str, Any] = field(default_factory=dict)  # of the journal


class Staging(Protocol):
    """What a session stages: `staging.stage` has the real one. Raises Refused or OSError."""

    @property
    def emit(self) -> Callable[[Any], None]: ...
    def receive(self) -> None: ...
    def build(self) -> None: ...


@dataclass(frozen=True)
class EffectContext:
    """What an effect acts on."""

    store: Store
    emit: Callable[[Any], None]
    redacted: Redactor
    staging: Optional[Staging] = None  # only a session stages

    @classmethod
    def of_driver(cls, store: Store) -> "EffectContext":
        return cls(store, store.log, Redactor(store.paths))

    @property
    def paths(self) -> Paths:
        return self.store.paths

    @property
    def host(self) -> Host:
        return self.store.host


Effect = Callable[[EffectContext, Journal], Ended]


def receive(context: EffectContext, _open: Journal) -> Ended:
    """Verify that all blobs have arrived, and that the release can be built."""
    _staging(context).receive()
    return Ended()


def build(context: EffectContext, open_: Journal) -> Ended:
    """Build and verify the release's directory."""
    staging = _staging(context)
    staging.build()
    return _hooked(replace(context, emit=staging.emit), open_, points.STAGED)


def _staging(context: EffectContext) -> Staging:
    if context.staging is None:
        raise RuntimeError("only a session stages: after a crash the release is discarded")
    return context.staging


def arm(context: EffectContext, open_: Journal) -> Ended:
    """Make sure that a rollback is possible before anything is switched."""
    paths, host = context.paths, context.host
    wanted, previous = _wanted(paths, open_), _previous(paths, open_)
    is_rollback = open_.attempt.what == ROLLBACK
    verify.target(paths, wanted, is_rollback=is_rollback)
    if not is_rollback and open_.previous != wanted.id:  # a rollback may leave a damaged release
        verify.rollback_target(paths, previous)
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
    """Migrate, then check the release on private sockets; a rollback target was checked before."""
    paths, wanted = context.paths, _wanted(context.paths, open_)
    if open_.attempt.what == ROLLBACK:
        return Ended()
    interrupted = partial(_rollback_reason, context, open_)
    of = hooks.Run(context.store, context.emit, wanted, hooks.MIGRATE, interrupted)
    open_, failure = hooks.migrate(of, open_)
    if hooks.MIGRATION in open_.hooks:  # nothing has interrupted it
        failure = failure or interrupted()
    failure = failure or trial.run(paths, context.host, wanted, context.emit, interrupted)
    if failure is not None:
        return Ended(Ending.ERROR, failure, {"hooks": open_.hooks})
    return _hooked(context, open_, points.BEFORE_ACTIVATE)


def _hooked(context: EffectContext, open_: Journal, when: str) -> Ended:
    """Run the hooks of this point. A rollback runs none but on_rollback: it depends on nothing."""
    if open_.attempt.what == ROLLBACK:
        return Ended()
    interrupted: hooks.Interrupted = partial(_rollback_reason, context, open_)
    if context.staging:  # a session has no lease: it ends with its controller
        interrupted = hooks.uninterrupted
    of = hooks.Run(context.store, context.emit, _wanted(context.paths, open_), when, interrupted)
    journal, failure = hooks.run(of, open_)
    ending = Ending.ERROR if failure else Ending.OK
    return Ended(ending, failure, {"hooks": journal.hooks})


def activate(context: EffectContext, open_: Journal) -> Ended:
    """Switch to the new release."""
    paths, host = context.paths, context.host
    wanted, previous = _wanted(paths, open_), _previous(paths, open_)
    began = host.wall()
    others = (*switch.unit_names(previous), *open_.strays)
    to = switch.Switch(
        wanted,
        others,
        None,
        step=State.ACTIVATE.value,
        limit=switch.limit(wanted, previous),
        interrupted=lambda: _rollback_reason(context, open_),
        kept_up=switch.kept_up(previous),
        moves=open_.handing,
        is_rollback=open_.attempt.what == ROLLBACK,
    )
    switch.switch(paths, host, to)
    ended = _hooked(context, open_, points.AFTER_ACTIVATE)
    return replace(ended, changes={**ended.changes, "began": began})


def check(context: EffectContext, open_: Journal) -> Ended:
    """Check the release's health, then wait for the verdict. The first verdict wins."""
    paths, host = context.paths, context.host
    wanted = switch.before_commit(_wanted(paths, open_))
    watched = gate.context(paths, host, wanted, open_.began, open_.untouched)
    failure = gate.run(host, watched, context.emit, lambda: _rollback_reason(context, open_))
    if failure is None and open_.attempt.what != ROLLBACK:
        failure = bake.observe(
            host, watched, open_.before, context.emit, lambda: _rollback_reason(context, open_)
        )
    ended = _hooked(context, open_, points.BEFORE_COMMIT) if failure is None else Ended()
    open_, failure = replace(open_, **ended.changes), failure or ended.failure
    if failure is None:  # the units may have failed during a hook
        failure = gate.check_units(host, watched) if open_.hooks else None
    if failure is None:
        context.store.save(replace(open_, healthy=True))
        failure = _confirm(context, open_, watched)
    if failure is None or context.store.claim_rollback(open_.txn) == COMMIT:
        return Ended(changes=ended.changes)
    return Ended(Ending.ERROR, failure, ended.changes)


def _confirm(context: EffectContext, open_: Journal, watched: Context) -> Optional[Failure]:
    """Commit if the host confirms by itself; otherwise wait for the verdict."""
    if open_.confirm == BY_HOST:
        context.store.claim(open_.txn, COMMIT)
        return _rollback_reason(context, open_)
    context.emit(Healthy(open_.txn, open_.release))
    return _await_verdict(context, open_, watched)


def _await_verdict(context: EffectContext, open_: Journal, watched: Context) -> Optional[Failure]:
    """Wait for the verdict; return why to roll back, or None for a commit."""
    host = context.host
    checked_at = host.now()
    while context.store.verdict(open_.txn) != COMMIT:
        failure = _rollback_reason(context, open_)
        if failure is None and host.now() - checked_at >= UNITS_INTERVAL:
            failure, checked_at = gate.check_units(host, watched), host.now()
        if failure is not None:
            return failure
        host.sleep(VERDICT_PAUSE)
    return None


def _rollback_reason(context: EffectContext, open_: Journal) -> Optional[Failure]:
    """Return why to roll back, or None. A host that confirms by itself needs no controller."""
    verdict = context.store.verdict(open_.txn)
    if verdict == REVERT:
        return Failure("called-back", "the controller requested a rollback", State.CHECK.value)
    if open_.confirm == BY_HOST:
        return None
    if not verdict and context.store.lease_has_expired(open_.txn):
        hint = "the controller did not renew the lease in time (confirm_timeout)"
        return Failure(EXPIRED, "nobody confirmed the release", State.CHECK.value, hint)
    return None


def commit(context: EffectContext, open_: Journal) -> Ended:
    """Record the release as committed, and prune what it replaces."""
    paths = context.paths
    if open_.release == UNKNOWN:
        what = "the commit was decided, but its release is no longer known"
        return Ended(Ending.HOPELESS, Failure("release-missing", what, State.COMMIT.value))
    record(context, open_, Result.COMMITTED)
    _start_timers(context, open_)
    tidy.around(paths, open_.release, [open_.previous])
    registry.note_committed(paths, open_.release)
    hooks.note_committed(context.store, open_)
    if open_.attempt.what == ROLLBACK:
        return _reported(context, open_, open_.previous, points.ON_ROLLBACK)
    return _reported(context, open_, open_.release, points.AFTER_COMMIT)


def _reported(context: EffectContext, open_: Journal, release: str, when: str) -> Ended:
    """Run hooks whose failure changes nothing any more, in the environment of their release."""
    found = releases.manifest(context.paths, release)
    if found is None:
        return Ended()
    of = hooks.Run(context.store, context.emit, found, when)
    return Ended(changes={"hooks": hooks.report(of, open_).hooks})


def _start_timers(context: EffectContext, open_: Journal) -> None:
    paths, host = context.paths, context.host
    committed = releases.manifest(paths, open_.release)
    # At boot they are ordered after the unit that runs this.
    how = "start" if open_.boot == host.boot_id() else "start --no-block"
    if committed is not None:
        switch.start_timers(paths, host, committed, _previous(paths, open_), how)


def revert(context: EffectContext, open_: Journal) -> Ended:
    """Roll back to the previous release, and check that it is healthy."""
    paths, host = context.paths, context.host
    context.store.replace_by_revert(open_.txn)
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
    with suppress(OSError):  # else they are restarted once more if this state is started again
        open_ = context.store.save(replace(open_, boot=host.boot_id(), clean=True))
    record(context, open_, Result.ROLLED_BACK)
    is_deploy = open_.attempt.what != ROLLBACK
    ended = _reported(context, open_, open_.release, points.ON_ROLLBACK) if is_deploy else Ended()
    tidy.after_undoing(paths, open_, keep_evidence=previous is not None)
    return replace(ended, failure=hooks.what_stays(context.paths, open_))


def revert_on_disk(context: EffectContext, open_: Journal) -> None:
    """Do the part of a rollback that needs no running unit: for the boot."""
    app_root.require(context.paths)
    previous = releases.verified(context.paths, open_.previous)
    if open_.previous and previous is None:
        return  # the driver will report it
    switch.put_on_disk(
        context.paths, context.host, _rollback_switch(context.paths, context.host, open_, previous)
    )


def discard(context: EffectContext, open_: Journal) -> Ended:
    """Remove a release that was never activated."""
    open_ = hooks.end_interrupted(context.store, context.emit, open_)
    tried = releases.manifest(context.paths, open_.release)
    if tried is not None:
        trial.clear(context.paths, context.host, tried)
    # First: it makes room for the history's line.
    tidy.after_undoing(context.paths, open_, keep_evidence=False)
    record(context, open_, Result.DISCARDED)
    return Ended(failure=hooks.what_stays(context.paths, open_))


EFFECTS: Mapping[State, Effect] = {
    State.RECEIVE: receive,
    State.BUILD: build,
    State.ARM: arm,
    State.TRIAL: try_release,
    State.ACTIVATE: activate,
    State.CHECK: check,
    State.COMMIT: commit,
    State.REVERT: revert,
    State.DISCARD: discard,
}


def record(context: EffectContext, open_: Journal, result: Result) -> None:
    """Write into the history how a transaction ended."""
    failure, wall = context.redacted(open_.failure), context.host.wall()
    history.append(context.paths, outcome.entry(context.paths, open_, result, failure, wall))


def _wanted(paths: Paths, open_: Journal) -> Manifest:
    read = releases.manifest if open_.fresh else releases.verified
    found = read(paths, open_.release)
    if found is None:
        what = f"release {open_.release} is incomplete on this host"
        raise Refused(Failure("release-missing", what, open_.state.value, "deploy it again"))
    return found


def _previous(paths: Paths, open_: Journal) -> Optional[Manifest]:
    return releases.manifest(paths, open_.previous)


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

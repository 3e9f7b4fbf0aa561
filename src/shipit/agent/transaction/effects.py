"""The effects of the transaction's states, each of which may be killed anywhere and begun again.

Each takes the journal as it was written before it, and returns how it ended. What follows is
decided by `machine`, and journalled by `driver`.
"""

import os
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, FrozenSet, List, Mapping, Optional, Tuple

from ..activation import owners, switch, trial
from ..health import bake, gate
from ..health.gate import Context
from ..host.host import Host
from ..protocol.manifest import Manifest
from ..protocol.messages import Failure, Healthy
from ..records import app_root, history, journal, lease, registry, releases  # fmt: skip
from ..records.history import Entry
from ..records.journal import Journal
from ..records.redactor import Redactor
from ..records.states import Result, State
from ..storage import prune
from ..system.failures import Refused
from ..system.paths import Paths
from . import boot_unit, verify

UNITS_INTERVAL = 0.5  # seconds between looks at the units while the verdict is awaited
VERDICT_PAUSE = 0.02  # seconds
BY_HOST = "host"  # who confirms a release: protocol.Activate.confirm
ROLLBACK = "rollback"  # protocol.Attempt.what


@dataclass(frozen=True)
class Ended:
    """How an effect ended."""

    result: Result = Result.OK
    failure: Optional[Failure] = None
    changes: Mapping[str, Any] = field(default_factory=dict)  # of the journal


@dataclass(frozen=True)
class EffectContext:
    """What an effect acts on."""

    paths: Paths
    host: Host
    emit: Callable[[Any], None]


Effect = Callable[[EffectContext, Journal], Ended]


def arm(stage: EffectContext, open_: Journal) -> Ended:
    """Make sure that a way back exists before anything is switched."""
    paths, host = stage.paths, stage.host
    wanted, previous = _wanted(paths, open_), _previous(paths, open_)
    is_rollback = open_.attempt.what == ROLLBACK
    verify.target(paths, wanted, is_rollback=is_rollback)
    if not is_rollback and open_.previous != wanted.id:  # a rollback may be the way out
        verify.rollback_target(paths, previous)
    waiting = switch.unit_names(wanted, previous)
    argv, before = driver_argv(paths, open_, "recover"), switch.unit_names(previous)
    views = boot_unit.arm(paths, host, boot_unit.texts(paths, argv, waiting), before)
    untouched = {name: view.invocation for name, view in views.items() if view.is_up}
    changes: Dict[str, Any] = {"untouched": untouched, "boot": host.boot_id(), "clean": False}
    changes["handing"] = owners.moves(paths, host, wanted, open_.handing)
    if wanted.gate.bake and previous is not None:
        changes["before"] = bake.measured(host, previous, wanted.gate.bake)
    return Ended(changes=changes)


def try_out(stage: EffectContext, open_: Journal) -> Ended:
    """Let the release prove itself where no customer is; what was proven before need not."""
    paths, wanted = stage.paths, _wanted(stage.paths, open_)
    if open_.attempt.what == ROLLBACK:
        return Ended()
    failure = trial.run(paths, stage.host, wanted, stage.emit, lambda: _called_back(stage, open_))
    return Ended(Result.ERROR, failure) if failure else Ended()


def activate(stage: EffectContext, open_: Journal) -> Ended:
    """Switch to the new release."""
    paths, host = stage.paths, stage.host
    wanted, previous = _wanted(paths, open_), _previous(paths, open_)
    began = host.wall()
    names = switch.unit_names(wanted)
    alone = switch.running_sockets(host.show(names))
    others = (*switch.unit_names(previous), *open_.strays)
    to = switch.Switch(
        wanted,
        others,
        alone,
        step=State.ACTIVATE.value,
        limit=switch.limit(wanted, previous),
        interrupted=lambda: _called_back(stage, open_),
        kept_up=switch.kept_up(previous),
        moves=open_.handing,
        is_rollback=open_.attempt.what == ROLLBACK,
    )
    switch.switch(paths, host, to)
    return Ended(changes={"began": began})


def check(stage: EffectContext, open_: Journal) -> Ended:
    """Let the release prove itself, then wait for the verdict. The first verdict wins."""
    paths, host = stage.paths, stage.host
    wanted = switch.before_commit(_wanted(paths, open_))
    watched = gate.context(paths, host, wanted, open_.began, open_.untouched)
    failure = gate.run(host, watched, stage.emit, lambda: _called_back(stage, open_))
    if failure is None and open_.attempt.what != ROLLBACK:
        failure = bake.observe(
            host, watched, open_.before, stage.emit, lambda: _called_back(stage, open_)
        )
    if failure is None:
        journal.save(paths, replace(open_, healthy=True))
        failure = _confirmed(stage, open_, watched)
    if failure is None or lease.claim(paths, open_.txn, lease.REVERT) == lease.COMMIT:
        return Ended()
    return Ended(Result.ERROR, failure)


def _confirmed(stage: EffectContext, open_: Journal, watched: Context) -> Optional[Failure]:
    """Give the verdict where that is the host's own business, or else wait for it."""
    if open_.confirm == BY_HOST:
        lease.claim(stage.paths, open_.txn, lease.COMMIT)
        return _called_back(stage, open_)
    stage.emit(Healthy(open_.txn, open_.release))
    return _awaited(stage, open_, watched)


def _awaited(stage: EffectContext, open_: Journal, watched: Context) -> Optional[Failure]:
    """Wait for the verdict; return why the release has to go, or None for a commit."""
    host = stage.host
    looked = host.now()
    while lease.verdict(stage.paths, open_.txn) != lease.COMMIT:
        failure = _called_back(stage, open_)
        if failure is None and host.now() - looked >= UNITS_INTERVAL:
            failure, looked = gate.look_at_units(host, watched), host.now()
        if failure is not None:
            return failure
        host.sleep(VERDICT_PAUSE)
    return None


def _called_back(stage: EffectContext, open_: Journal) -> Optional[Failure]:
    """Return why the release has to go; a host that confirms by itself needs no controller."""
    txn = open_.txn
    verdict = lease.verdict(stage.paths, txn)
    if verdict == lease.REVERT:
        return Failure("called-back", "the release was called back", State.CHECK.value)
    if open_.confirm == BY_HOST:
        return None
    if not verdict and lease.has_run_out(stage.paths, stage.host, txn):
        hint = "the controller was not heard of in time (confirm_timeout)"
        return Failure("lease-expired", "nobody confirmed the release", State.CHECK.value, hint)
    return None


def commit(stage: EffectContext, open_: Journal) -> Ended:
    """Record the release as committed, and let go of what it replaces."""
    paths = stage.paths
    if open_.release == journal.UNKNOWN:
        what = "a commit was decided, but its release is no longer known"
        return Ended(Result.HOPELESS, Failure("release-missing", what, State.COMMIT.value))
    history.append(paths, entry(stage, open_, history.COMMITTED))
    _start_timers(stage, open_)
    _prune(paths, open_.release, [open_.previous])
    registry.note_committed(paths, open_.release)
    return Ended()


def _start_timers(stage: EffectContext, open_: Journal) -> None:
    paths, host = stage.paths, stage.host
    committed = releases.manifest(paths, open_.release)
    # At boot they wait for the unit that this runs in.
    how = "start" if open_.boot == host.boot_id() else "start --no-block"
    if committed is not None:
        switch.start_timers(paths, host, committed, _previous(paths, open_), how)


def revert(stage: EffectContext, open_: Journal) -> Ended:
    """Go back to the previous release, and make sure that it is well."""
    paths, host = stage.paths, stage.host
    lease.request_rollback(paths, open_.txn)
    began, previous = host.wall(), releases.verified(paths, open_.previous)
    if open_.previous and previous is None:
        what = f"the previous release {open_.previous} is not on this host any more"
        return Ended(Result.HOPELESS, Failure("previous-missing", what, State.REVERT.value))
    for perhaps in _perhaps_on_trial(paths, open_):
        trial.clear(paths, host, perhaps)
    switch.switch(paths, host, _way_back(paths, host, open_, previous))
    if previous is not None:
        watched = gate.context(paths, host, previous, began, open_.untouched)
        failure = gate.run(host, watched, stage.emit, lambda: None)
        if failure is not None:
            return Ended(Result.HOPELESS, replace(failure, step=State.REVERT.value))
    _note_clean(paths, replace(open_, boot=host.boot_id(), clean=True))
    history.append(paths, entry(stage, open_, history.REVERTED))
    _tidy(paths, open_, keep_evidence=previous is not None)
    return Ended()


def _perhaps_on_trial(paths: Paths, open_: Journal) -> List[Manifest]:
    """Return what a transaction may have had on trial whose journal could not be read."""
    if open_.failure is None or open_.failure.code != journal.UNREADABLE:
        return []
    found = (releases.manifest(paths, release) for release in releases.listed(paths))
    return [manifest for manifest in found if manifest is not None]


def _note_clean(paths: Paths, open_: Journal) -> None:
    """Spare the units a second restart, should this state be begun again."""
    try:
        journal.save(paths, open_)
    except OSError:
        return  # they are restarted once more then


def revert_on_disk(stage: EffectContext, open_: Journal) -> None:
    """Do the part of going back that needs no running unit: for the boot."""
    app_root.require(stage.paths)
    previous = releases.verified(stage.paths, open_.previous)
    if open_.previous and previous is None:
        return  # the driver will say so
    switch.put_on_disk(stage.paths, stage.host, _way_back(stage.paths, stage.host, open_, previous))


def discard(stage: EffectContext, open_: Journal) -> Ended:
    """Remove a release that was never activated."""
    tried = releases.manifest(stage.paths, open_.release)
    if tried is not None:
        trial.clear(stage.paths, stage.host, tried)
    _tidy(stage.paths, open_, keep_evidence=False)  # first: it makes room for the ledger's line
    history.append(stage.paths, entry(stage, open_, history.FAILED))
    return Ended()


EFFECTS: Mapping[State, Effect] = {
    State.ARM: arm,
    State.TRIAL: try_out,
    State.ACTIVATE: activate,
    State.CHECK: check,
    State.COMMIT: commit,
    State.REVERT: revert,
    State.DISCARD: discard,
}


def entry(stage: EffectContext, open_: Journal, outcome: str) -> Entry:
    """Return the ledger's line for a transaction."""
    attempt, failure = open_.attempt, Redactor(stage.paths)(open_.failure)
    committed = outcome == history.COMMITTED
    return Entry(
        txn=open_.txn,
        what=attempt.what,
        release=open_.release,
        version=open_.version,
        previous=open_.previous,
        outcome=outcome,
        who=attempt.who,
        at=history.utc(stage.host.wall()),
        reason=attempt.reason,
        failure=f"[{failure.code}] {failure.what}" if failure else "",
        manifest=releases.manifest_digest(stage.paths, open_.release) if committed else "",
    )


def driver_argv(paths: Paths, open_: Journal, role: str = "transact") -> List[str]:
    """Return the command by which this agent carries the transaction on in a process of its own."""
    return [open_.python, "-I", "-S", open_.agent, role, paths.app, paths.root]


def unit_names(paths: Paths, open_: Journal) -> Tuple[str, ...]:
    """Return the units that the transaction is about."""
    both = (releases.manifest(paths, open_.release), _previous(paths, open_))
    return switch.unit_names(*both)


def _wanted(paths: Paths, open_: Journal) -> Manifest:
    read = releases.manifest if open_.fresh else releases.verified
    found = read(paths, open_.release)
    if found is None:
        what = f"release {open_.release} is not whole on this host"
        raise Refused(Failure("release-missing", what, open_.state.value, "deploy it again"))
    return found


def _previous(paths: Paths, open_: Journal) -> Optional[Manifest]:
    return releases.manifest(paths, open_.previous)


def _way_back(
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
        going_back=True,
    )


def _untouched(host: Host, open_: Journal, names: Tuple[str, ...]) -> FrozenSet[str]:
    """Return the units that still run as the previous release started them."""
    if open_.boot != host.boot_id():
        return frozenset()
    views = host.show(names)
    if open_.clean:  # whatever runs was started after the disk had been put right
        return frozenset(name for name, view in views.items() if view.is_up)
    before: Dict[str, str] = open_.untouched
    return frozenset(n for n, v in views.items() if v.invocation and v.invocation == before.get(n))


def _tidy(paths: Paths, open_: Journal, *, keep_evidence: bool) -> None:
    """Leave nothing behind that blocks, starts or confuses anything later."""
    in_use = open_.release in (open_.previous, releases.pointed(paths))
    if open_.fresh and not keep_evidence and not in_use:
        prune.mark(paths, open_.release)
    if keep_evidence:
        _prune(paths, open_.previous, [open_.release])
    if not open_.previous and history.head(history.entries(paths)) is None:
        _take_down(paths)


def _prune(paths: Paths, running: str, needed: List[str]) -> None:
    found = releases.manifest(paths, running)
    if found is None:
        return
    stay = prune.kept(history.entries(paths), running, found.keep_releases, needed)
    try:
        prune.quarantine(paths, stay)
    except OSError:
        return  # the next deploy prunes again; this one has ended well


def _take_down(paths: Paths) -> None:
    """Remove the empty directories of an app that never ran here; the ledger stays."""
    prune.delete_marked(paths)
    for directory in (paths.releases, paths.shared):
        try:
            os.rmdir(directory)
        except OSError:
            continue  # not empty, or not there

"""Run the hooks and the migration of a release on this host, each at most once in a transaction.

A hook is written into the journal before it starts and after it has ended. One that was interrupted
is stopped and never started again: before the commit the transaction is taken back anyway, after it
the interruption is reported. It runs in a unit of its own, in the release's environment: see
`host.transient`. Its end goes into the host's history.

A migration is also recorded for good (`records.migrations`), on the disk before it starts. A lost
controller does not interrupt it; one that was interrupted nevertheless stays unfinished there.
"""

import os
from contextlib import suppress
from dataclasses import replace
from typing import Any, Callable, Dict, List, Optional, Tuple

from ..activation import names
from ..host import commands, marked
from ..host.host import Host
from ..protocol.hooks import OK, Hook, HookLine
from ..protocol.manifest import Manifest
from ..protocol.messages import Failure, StepBegan, StepEnded, StepFailed
from ..protocol.migrations import (
    ABANDONED,
    AGAIN,
    APPLIED,
    BEGUN,
    FAILED,
    KNOWN,
    PENDING_TIMEOUT,
    Migration,
    is_applied,
    of_txn,
    unfinished,
)
from ..protocol.rules import unit_text
from ..protocol.values import dataclass
from ..records import history, migrations, releases
from ..system.failures import Refused, from_os_error
from ..system.paths import Paths
from ..system.process import Done
from .journal import Journal
from .store import Store

STEP, MIGRATE = "hook", "migrate"
MIGRATION = "migration"  # its key among the hooks of a journal
UNIQUE = ""  # the unit of what the journal does not have
ENDS = {APPLIED: OK, FAILED: FAILED}  # by the state of the record
KILLED = range(129, 193)  # a shell's status of what a signal has ended: what it did is unknown
NOT_STARTED = ("no-user", "program-untrusted")  # codes of what is refused before a start
INTERRUPTED = "interrupted"
ROLLBACK = "rollback"  # protocol.Attempt.what
UNFINISHED = (
    "find out what it has done; then `shipit deploy PLAYBOOK --migrate-again` runs it again"
    " (docs/migrations.md)"
)
# systemd's words for what a hook may use; the hook is killed before the services are.
LIMITS = (
    "TasksMax=1024",
    "MemoryMax=75%",
    "OOMScoreAdjust=500",
    "UMask=0027",
    "Environment=PYTHONUNBUFFERED=1",
)
# What services keep between releases. RuntimeDirectory= would end with the hook.
KEPT = ("StateDirectory", "CacheDirectory", "LogsDirectory")

Interrupted = Callable[[], Optional[Failure]]
Emit = Callable[[Any], None]


def uninterrupted() -> Optional[Failure]:
    """Let a hook run as long as its timeout allows."""
    return None


@dataclass(frozen=True)
class Run:
    """The hooks of one point in a transaction.

    Attributes:
        of: the release that has them, and whose environment they run in.
        interrupted: why to end a running one, asked a few times a second.
    """

    store: Store
    emit: Emit
    of: Manifest
    when: str
    interrupted: Interrupted = uninterrupted
    is_query: bool = False  # of a plan: makes nothing on the host

    @property
    def paths(self) -> Paths:
        return self.store.paths

    @property
    def host(self) -> Host:
        return self.store.host

    def due(self, open_: Journal) -> List[Tuple[int, Hook]]:
        """Return the hooks of this host that have not begun, each with its number."""
        return [
            (number, hook)
            for number, hook in enumerate(self.of.hooks)
            if hook.when == self.when
            and (open_.attempt.elected or not hook.once)
            and str(number) not in open_.hooks
        ]


def run(of: Run, open_: Journal) -> Tuple[Journal, Optional[Failure]]:
    """Run the hooks of this point up to the first that fails; return the journal, which has them.

    Raises:
        OSError: one could not be written down before its start.
    """
    for number, hook in of.due(open_):
        open_, failure = _run_one(of, open_, number, hook)
        if failure is not None:
            return open_, failure
    return open_, None


def report(of: Run, open_: Journal) -> Journal:
    """Run all hooks of this point, and report those that fail; return the journal."""
    for number, hook in of.due(open_):
        try:
            open_, failure = _run_one(of, open_, number, hook)
        except OSError as error:
            failure = from_os_error(error, STEP)
        if failure is not None:
            of.emit(StepFailed(failure))
    return open_


def end_interrupted(store: Store, emit: Emit, open_: Journal) -> Journal:
    """Stop a hook that a killed process has left running, and record that it was interrupted."""
    left = [number for number, how in open_.hooks.items() if not how]
    if left:
        store.host.systemctl("stop", [store.paths.hook_unit])  # fails if it has ended: fine
    ended = dict(open_.hooks)
    for number in left:
        hook = _hook(store.paths, open_, number)
        how = _migrated(store.paths, open_) if number == MIGRATION else INTERRUPTED
        ended[number] = how
        _record(store.paths, open_, HookLine(hook.name, hook.when, how, 0.0))
        what = f"the hook {hook.name} ({hook.when}) was interrupted, and is not run again"
        hint = "run it by hand if it must run"
        if number != MIGRATION:  # which is reported with what it leaves
            emit(StepFailed(Failure("hook-interrupted", what, STEP, hint)))
    return replace(open_, hooks=ended)


def _hook(paths: Paths, open_: Journal, number: str) -> Hook:
    """Return a hook of the new release, or in a rollback of the one that is left."""
    if number == MIGRATION:
        return Hook(MIGRATION, MIGRATE, (), 0.0, "", "/")
    both = (open_.release, open_.previous)
    for release in reversed(both) if open_.attempt.what == ROLLBACK else both:
        found = releases.manifest(paths, release)
        if found is not None and int(number) < len(found.hooks):
            return found.hooks[int(number)]
    return Hook(f"number {number}", "?", (), 0.0, "", "/")


# --- the migration -----------------------------------------------------------------------------


def migrate(of: Run, open_: Journal) -> Tuple[Journal, Optional[Failure]]:
    """Run the migration of a release, unless it was applied already; return the journal with it.

    Once it has begun, nothing interrupts it but its timeout.

    Raises:
        OSError: it could not be recorded before its start, and does not run.
        Refused: its `pending` was interrupted.
    """
    wanted, past = of.of.migration, migrations.lines(of.paths)
    left = unfinished(past)
    if left is not None and AGAIN not in open_.attempt.options:
        what = f"the migration of {left.release}, begun {left.at}, has not ended"
        return open_, Failure("migration-unfinished", what, MIGRATE, UNFINISHED)
    if wanted is None or not open_.attempt.elected:
        return open_, None
    is_known = KNOWN in open_.attempt.options or is_applied(past, of.of.id)
    if is_known and AGAIN not in open_.attempt.options:
        of.emit(StepBegan(MIGRATE, "was applied before: not run again"))
        of.emit(StepEnded(MIGRATE, 0.0, ok=True))
        return open_, None
    if wanted.pending and not of.interrupted():
        failed = _failure_of(wanted.hook, _execute(of, of_pending(wanted), unit=UNIQUE))
        if failed is not None:
            return open_, replace(failed, what=f"`pending` of the migration: {failed.what}")
    interrupted = of.interrupted()
    if interrupted is not None:
        return open_, interrupted
    return _migrate(replace(of, interrupted=uninterrupted), open_, wanted)


def of_pending(wanted: Migration) -> Hook:
    """Return the command that prints what a migration would do, as a hook."""
    return replace(wanted.hook, name="pending", command=wanted.pending, timeout=PENDING_TIMEOUT)


def pending(store: Store, release: str) -> Optional[str]:
    """Return what the migration of a release would do; None if it is not on this host."""
    try:
        found = releases.verified(store.paths, release)
        if found is None or found.migration is None or not found.migration.pending:
            return None
        of = Run(store, lambda _: None, found, MIGRATE, is_query=True)
        done = _execute(of, of_pending(found.migration), unit=UNIQUE)
    except Refused as refused:
        return f"`pending` was not run: {refused.failure.what}"
    return done.output if done.ok else f"{done.output}\n`pending` {done.end(PENDING_TIMEOUT)}"


def _migrate(of: Run, open_: Journal, wanted: Migration) -> Tuple[Journal, Optional[Failure]]:
    open_ = of.store.save(replace(open_, hooks={**open_.hooks, MIGRATION: ""}))
    _note(of, open_, BEGUN)
    began = of.host.now()
    of.emit(StepBegan(MIGRATE, " ".join(wanted.hook.command)))
    try:
        done = _execute(of, wanted.hook)
        failure = _failure_of(wanted.hook, done)
        how = OK if done.ok else done.end(wanted.hook.timeout)
        is_known = not (done.timed_out or done.lost or done.status in KILLED)
        if is_known:
            _note(of, open_, FAILED if failure else APPLIED)
    except (Refused, OSError) as error:
        failure = error.failure if isinstance(error, Refused) else from_os_error(error, MIGRATE)
        how, is_known = failure.what, failure.code in NOT_STARTED
        if is_known:
            _note(of, open_, FAILED)
    seconds = of.host.now() - began
    of.emit(StepEnded(MIGRATE, seconds, ok=failure is None))
    _record(of.paths, open_, HookLine(MIGRATION, MIGRATE, how, seconds))
    how = how if is_known else INTERRUPTED
    return of.store.save(replace(open_, hooks={**open_.hooks, MIGRATION: how})), failure


def _note(of: Run, open_: Journal, state: str) -> None:
    line = migrations.line(of.of, state, open_.attempt, of.host.wall())
    migrations.append(of.paths, line)


def _migrated(paths: Paths, open_: Journal) -> str:
    """Return how the migration of a transaction has ended, by its records."""
    found = of_txn(migrations.lines(paths), open_.txn)
    return ENDS.get(found.state, INTERRUPTED) if found else "has not begun"


def what_stays(paths: Paths, open_: Journal) -> Optional[Failure]:
    """Return what a rollback does not take back: what this transaction has migrated."""
    last = of_txn(migrations.lines(paths), open_.txn)
    if last is not None and last.state == BEGUN:
        what = f"the migration of {open_.release} was interrupted: what it has done is unknown"
        return Failure("migration-unfinished", what, MIGRATE, UNFINISHED)
    if last is None or last.state != APPLIED:
        return None
    what = f"the migration of {open_.release} STAYS APPLIED: only the services were rolled back"
    if last.reversible:
        return Failure("migration-applied", what, MIGRATE, "the next deploy does not run it again")
    what += "; it is IRREVERSIBLE, and the previous release may not run with what it has changed"
    hint = "check the previous release now; deploy a release that fits the data"
    return Failure("migration-applied", what, MIGRATE, hint)


def note_committed(store: Store, open_: Journal) -> None:
    """Record the migration of a committed release on a host that has not run it itself."""
    past, paths = migrations.lines(store.paths), store.paths
    left, committed = unfinished(past), releases.manifest(paths, open_.release)
    if open_.attempt.what == ROLLBACK or committed is None:
        return
    now = store.host.wall()
    if left is not None and AGAIN in open_.attempt.options:
        again = replace(left, state=ABANDONED, at=history.utc(now), txn=open_.txn)
        migrations.append(paths, again)
    if committed.migration is not None and not is_applied(past, committed.id):
        migrations.append(paths, migrations.line(committed, APPLIED, open_.attempt, now))


# --- one hook ----------------------------------------------------------------------------------


def _run_one(of: Run, open_: Journal, number: int, hook: Hook) -> Tuple[Journal, Optional[Failure]]:
    open_ = of.store.save(_with(open_, number, ""))
    began = of.host.now()
    of.emit(StepBegan(STEP, f"{hook.name} ({hook.when})"))
    try:
        done = _execute(of, hook)
        how, failure = OK if done.ok else done.end(hook.timeout), _failure_of(hook, done)
    except Refused as refused:  # interrupted, or the host cannot run it
        how, failure = f"[{refused.failure.code}] {refused.failure.what}", refused.failure
    seconds = of.host.now() - began
    of.emit(StepEnded(STEP, seconds, ok=failure is None))
    _record(of.paths, open_, HookLine(hook.name, hook.when, how, seconds, number))
    return of.store.save(_with(open_, number, how)), failure


def _with(open_: Journal, number: int, how: str) -> Journal:
    return replace(open_, hooks={**open_.hooks, str(number): how})


def _record(paths: Paths, open_: Journal, line: HookLine) -> None:
    with suppress(OSError):  # it is for people; the journal is what counts
        history.append_hook(paths, open_.txn, line)


def _failure_of(hook: Hook, done: Done) -> Optional[Failure]:
    if done.ok:
        return None
    what = f"the hook {hook.name} ({hook.when}) {done.end(hook.timeout)}"
    if done.timed_out:
        hint = "make it faster, or give it more time: `timeout` of the hook in the playbook"
        return Failure("hook-timeout", what, STEP, hint, done.output)
    hint = "it ran in the environment of this release; see its output"
    if done.lost:
        hint = "what it has done is unknown: see its output, and the journal of the host"
    return Failure("hook-failed", what, STEP, hint, done.output)


def _execute(of: Run, hook: Hook, unit: Optional[str] = None) -> Done:
    """Run a hook in its unit, and pass its output on.

    `unit`: another one than that of hooks, which a killed transaction is known to have left.

    Raises:
        Refused: it was interrupted, there is no such user, or root does not trust the program.
    """
    located = commands.as_root if hook.user == commands.ROOT else commands.of
    found = located(of.paths, of.of, hook.command)
    if found is None:
        return commands.not_found(hook.command)
    command = replace(
        found,
        user=hook.user,
        directory=hook.directory,
        unit=of.paths.hook_unit if unit is None else unit,
        environment=_environment(of),
        properties=(*LIMITS, *(() if of.is_query else _directories(of, hook))),
        end_mark=f"shipit-end-{os.urandom(8).hex()}",
    )
    output = marked.Output(of.emit, hook.name, command.end_mark)
    done = of.host.run_as(
        command, timeout=hook.timeout, watch=lambda: _stop_if(of.interrupted()), heard=output
    )
    output.end()
    return marked.ended(done, command.end_mark)


def _stop_if(failure: Optional[Failure]) -> None:
    if failure is not None:
        raise Refused(failure)


def _environment(of: Run) -> Tuple[str, ...]:
    """Return what a hook may want to know of its deploy; every user of the host may read it."""
    manifest = of.of
    found = {"APP": manifest.app, "RELEASE": manifest.id, "VERSION": manifest.version}
    return tuple(f"SHIPIT_{key}={value}" for key, value in {**found, "HOOK": of.when}.items())


def _directories(of: Run, hook: Hook) -> List[str]:
    """Return the settings that give a hook the directories of the services of its user.

    Missing ones are made, as the first start of a service would. Present ones stay as they are:
    systemd would give them away where the release changes the user of the services.
    """
    found: Dict[str, List[str]] = {}
    settings: Dict[str, None] = {}
    for name, text in sorted(releases.unit_texts(of.paths, of.of).items()):
        own = unit_text.settings(text, "Service")
        for each in names.wanted({name: text}):
            if each.kind not in KEPT or each.user != hook.user:
                continue
            found.setdefault(each.kind, []).append(each.path)
            if of.host.owner(each.path) is None:
                settings[each.setting] = None
                mode = unit_text.last(own, f"{each.kind}Mode")
                settings.update({f"{each.kind}Mode={mode}": None} if mode else {})
    for kind, paths in found.items():
        variable = kind.replace("Directory", "_DIRECTORY").upper()  # systemd.exec(5)
        settings[f"Environment={variable}={':'.join(dict.fromkeys(paths))}"] = None
    return list(settings)

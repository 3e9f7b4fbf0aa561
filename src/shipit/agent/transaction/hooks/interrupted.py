"""Stop what a killed process has left running, and record that it was interrupted.

It is never started again: before the commit the transaction is taken back anyway, after it the
interruption is reported.
"""

from dataclasses import replace

from ...protocol.assets import ASSETS
from ...protocol.hooks import STAGED, Hook, HookLine
from ...protocol.messages import Failure, StepFailed
from ...records import releases
from ...system.paths import Paths
from ..journal import Journal
from ..store import Store
from . import migration
from .command import STEP, Emit
from .migration import INTERRUPTED, MIGRATE, MIGRATION
from .points import record


def end(store: Store, emit: Emit, open_: Journal) -> Journal:
    """Stop a hook that a killed process has left running, and record that it was interrupted."""
    left = [number for number, how in open_.hooks.items() if not how]
    if left:
        store.host.systemctl("stop", [store.paths.hook_unit])  # fails if it has ended: fine
    ended = dict(open_.hooks)
    for number in left:
        hook = _hook(store.paths, open_, number)
        how = migration.ended(store.paths, open_) if number == MIGRATION else INTERRUPTED
        ended[number] = how
        record(store.paths, open_, HookLine(hook.name, hook.when, how, 0.0))
        what = f"the hook {hook.name} ({hook.when}) was interrupted, and is not run again"
        hint = "run it by hand if it must run"
        if number != MIGRATION:  # which is reported with what it leaves
            emit(StepFailed(Failure("hook-interrupted", what, STEP, hint)))
    return replace(open_, hooks=ended)


def _hook(paths: Paths, open_: Journal, number: str) -> Hook:
    """Return a hook of the new release, or in a rollback of the one that is left."""
    if number == MIGRATION:
        return Hook(MIGRATION, MIGRATE, (), 0.0, "", "/")
    if number == ASSETS:
        return Hook(ASSETS, STAGED, (), 0.0, "", "/")
    both = (open_.release, open_.previous)
    for release in reversed(both) if open_.is_rollback else both:
        found = releases.manifest(paths, release)
        if found is not None and int(number) < len(found.hooks):
            return found.hooks[int(number)]
    return Hook(f"number {number}", "?", (), 0.0, "", "/")

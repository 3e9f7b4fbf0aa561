"""Run the hooks of a point as a part of an effect."""

from functools import partial

from ...records import releases
from ..hooks import points
from ..hooks.command import Interrupted, Run, uninterrupted
from ..journal import Journal
from ..states import Ending
from .context import EffectContext, Ended, wanted_of
from .verdict import rollback_reason


def hooked(context: EffectContext, open_: Journal, when: str) -> Ended:
    """Run the hooks of this point. A rollback runs none but on_rollback: it depends on nothing."""
    if open_.is_rollback:
        return Ended()
    interrupted: Interrupted = partial(rollback_reason, context, open_)
    if context.staging:  # a session has no lease: it ends with its controller
        interrupted = uninterrupted
    of = Run(context.store, context.emit, wanted_of(context.paths, open_), when, interrupted)
    journal, failure = points.run(of, open_)
    ending = Ending.ERROR if failure else Ending.OK
    return Ended(ending, failure, {"hooks": journal.hooks})


def reported(context: EffectContext, open_: Journal, release: str, when: str) -> Ended:
    """Run hooks whose failure changes nothing any more, in the environment of their release."""
    found = releases.manifest(context.paths, release)
    if found is None:
        return Ended()
    of = Run(context.store, context.emit, found, when)
    return Ended(changes={"hooks": points.report(of, open_).hooks})

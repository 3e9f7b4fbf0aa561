"""Record what an operator says of an app's deploys, and answer what stands.

Needs no lock: a hold or a pause must not wait for the deploy that it is about. What has no effect
here is not recorded.
"""

from dataclasses import replace
from typing import Union

from ..protocol.controls import ABORT, CANARY, OF_RUN, PROMOTE, AskControls, Control, Controls
from ..records import history, holds
from ..transaction.store import Store


def answer(store: Store, asked: Union[Control, AskControls]) -> Controls:
    """Return what stands after this. A run is the one that holds the lock now, or lost."""
    paths, holder = store.paths, store.holder()
    run = holder.attempt.txn if holder else ""
    counts = isinstance(asked, Control) and _counts(store, asked.what, run)
    if counts and isinstance(asked, Control):
        holds.say(paths, replace(asked, txn=run) if asked.what in OF_RUN else asked)
    standing = holds.now_standing(paths, history.entries(paths), store.host.wall())
    said = holds.said(paths)
    return Controls(
        holds.reported(standing), run, holds.pause(said, run), holds.canary(said, run), counts
    )


def _counts(store: Store, what: str, run: str) -> bool:
    """Whether this has an effect: on the run that is here, if it is about one."""
    if what not in OF_RUN:
        return True
    if what == "pause":
        return bool(run) and _is_to_be_switched(store, run)
    if what in (PROMOTE, ABORT):
        canary = holds.canary(holds.said(store.paths), run)
        return canary is not None and canary.what == CANARY and store.has_session()
    return bool(run)


def _is_to_be_switched(store: Store, run: str) -> bool:
    open_ = store.load()
    if open_ is not None and open_.txn == run:
        return open_.state.is_staging
    return not history.outcome_of(history.entries(store.paths), run)

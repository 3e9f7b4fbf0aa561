"""Record what an operator says of an app's deploys, and answer what stands.

Needs no lock: a hold or a pause must not wait for the deploy that it is about.
"""

from dataclasses import replace
from typing import Union

from ..protocol.controls import AskControls, Control, Controls
from ..records import history, holds
from ..transaction.store import Store

OF_RUN = ("pause", "resume")


def answer(store: Store, asked: Union[Control, AskControls]) -> Controls:
    """Return what stands after this. A pause is about the run that holds the lock now, or lost."""
    paths, holder = store.paths, store.holder()
    run = holder.attempt.txn if holder else ""
    if isinstance(asked, Control) and asked.what not in OF_RUN:
        holds.say(paths, asked)
    elif isinstance(asked, Control) and run:
        holds.say(paths, replace(asked, txn=run))
    found = holds.now_standing(paths, history.entries(paths), store.host.wall())
    return Controls(holds.reported(found), run, holds.pause(holds.said(paths), run))

"""Which effect a state has."""

from typing import Mapping

from ..states import State
from .committing import check, commit
from .context import Effect
from .staging import build, receive
from .switching import activate, arm, try_release
from .undoing import discard, revert

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

"""The transaction's states, and the two tables that are its specification. Pure.

The transition table says what follows a state whose effect went well or wrong; the recovery
table says where to go on after a crash. Journal, effects and pauses lie elsewhere.
"""

from enum import Enum
from typing import Mapping

MOVES = 28  # journalled moves of one transaction; more is a loop, and a person is needed
TRIES = 3  # of the states that have no other way out than themselves


class State(Enum):
    """Where a transaction stands. It is journalled before the state's effect begins."""

    RECEIVE = "receive"
    BUILD = "build"
    ARM = "arm"
    TRIAL = "trial"
    ACTIVATE = "activate"
    CHECK = "check"
    COMMIT = "commit"
    REVERT = "revert"
    DISCARD = "discard"
    DONE = "done"  # the new release runs, committed
    FAILED = "failed"  # the old release runs
    STUCK = "stuck"  # a person is needed

    @property
    def is_end(self) -> bool:
        return self in (State.DONE, State.FAILED, State.STUCK)

    @property
    def is_staging(self) -> bool:
        """Driven by the session that stages, not by a unit of its own."""
        return self in (State.RECEIVE, State.BUILD)


class Result(Enum):
    """How a state's effect ended."""

    OK = "ok"
    ERROR = "error"
    HOPELESS = "hopeless"  # trying once more would not help


ON_OK: Mapping[State, State] = {
    State.RECEIVE: State.BUILD,
    State.BUILD: State.ARM,
    State.ARM: State.TRIAL,
    State.TRIAL: State.ACTIVATE,
    State.ACTIVATE: State.CHECK,
    State.CHECK: State.COMMIT,
    State.COMMIT: State.DONE,
    State.REVERT: State.FAILED,
    State.DISCARD: State.FAILED,
}
ON_ERROR: Mapping[State, State] = {
    State.RECEIVE: State.DISCARD,
    State.BUILD: State.DISCARD,
    State.ARM: State.DISCARD,
    State.TRIAL: State.DISCARD,
    State.ACTIVATE: State.REVERT,
    State.CHECK: State.REVERT,
    State.COMMIT: State.COMMIT,
    State.REVERT: State.REVERT,
    State.DISCARD: State.DISCARD,
}
# A state that is tried again ends here when it went wrong TRIES times, or when it is hopeless.
GIVEN_UP: Mapping[State, State] = {
    State.COMMIT: State.STUCK,
    State.REVERT: State.STUCK,
    State.DISCARD: State.FAILED,  # what is left over was never visible
}
ON_RECOVERY: Mapping[State, State] = {
    State.RECEIVE: State.DISCARD,
    State.BUILD: State.DISCARD,
    State.ARM: State.DISCARD,
    State.TRIAL: State.DISCARD,
    State.ACTIVATE: State.REVERT,
    State.CHECK: State.REVERT,
    State.COMMIT: State.COMMIT,
    State.REVERT: State.REVERT,
    State.DISCARD: State.DISCARD,
    State.STUCK: State.REVERT,  # what was in the way may have been mended
}


def following(state: State, result: Result, *, tries: int, moves: int) -> State:
    """Return the state that follows; `tries` counts how often this one has gone wrong by now."""
    if result is Result.OK:
        return ON_OK[state]
    onward = ON_ERROR[state]
    spent = result is Result.HOPELESS or tries >= TRIES or moves >= MOVES
    return GIVEN_UP[state] if onward is state and spent else onward


def resumed(state: State, *, committed: bool, moves: int) -> State:
    """Return where a crashed transaction goes on; `committed`: a commit verdict is on the disk."""
    if moves >= MOVES and state is not State.STUCK:
        return GIVEN_UP.get(state, GIVEN_UP[State.REVERT])
    if state in (State.CHECK, State.STUCK) and committed:
        return State.COMMIT
    return ON_RECOVERY[state]

"""The transaction's states, and the two tables that are its specification. Pure.

The transition table lists what follows a state whose effect succeeded or failed; the recovery
table lists where to continue after a crash. Journal, effects and pauses are elsewhere.
"""

from enum import Enum
from typing import Mapping

MOVES = 28  # journalled moves of one transaction; more is a loop, and needs an operator
TRIES = 3  # of the states that are retried


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
    STUCK = "stuck"  # an operator is needed

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
    HOPELESS = "hopeless"  # another try would not help


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
# The end of a retried state that failed TRIES times, or is hopeless.
GIVEN_UP: Mapping[State, State] = {
    State.COMMIT: State.STUCK,
    State.REVERT: State.STUCK,
    State.DISCARD: State.FAILED,  # what remains was never visible
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
    State.STUCK: State.REVERT,  # the cause may have been fixed
}


def following(state: State, result: Result, *, tries: int, moves: int) -> State:
    """Return the next state; `tries` counts how often this one has failed."""
    if result is Result.OK:
        return ON_OK[state]
    onward = ON_ERROR[state]
    spent = result is Result.HOPELESS or tries >= TRIES or moves >= MOVES
    return GIVEN_UP[state] if onward is state and spent else onward


def resumed(state: State, *, committed: bool, moves: int) -> State:
    """Return where a crashed transaction continues; `committed`: the verdict is commit."""
    if moves >= MOVES and state is not State.STUCK:
        return GIVEN_UP.get(state, GIVEN_UP[State.REVERT])
    if state in (State.CHECK, State.STUCK) and committed:
        return State.COMMIT
    return ON_RECOVERY[state]

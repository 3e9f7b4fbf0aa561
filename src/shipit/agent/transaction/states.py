"""The rules of a transaction: one deploy or rollback on one host. Pure.

- A state is journalled before its effect begins. `ON_OK` and `ON_ERROR` say what follows it.
- A crash continues where `ON_RECOVERY` says: forward only to a commit that was decided.
- Until CHECK has ended the verdict is open: the first one wins, and a commit needs a healthy
  release. A process that takes over an undecided transaction first gives the verdict revert.
- No state is entered on the way forward unless the disk took its entry; the way back goes on.
- A session stages (RECEIVE, BUILD), a driver in its own unit does the rest; either may discard.
- COMMIT, REVERT and DISCARD are retried, at most TRIES times; then COMMIT and REVERT need an
  operator.
"""

from enum import Enum
from typing import AbstractSet, Mapping

from ..protocol.answers import Result

MOVES = 28  # journalled moves of one transaction; more is a loop, and needs an operator
TRIES = 3  # of the states that are retried


class State(Enum):
    """Where a transaction stands. The last four are its ends, one for each Result."""

    RECEIVE = "receive"
    BUILD = "build"
    ARM = "arm"
    TRIAL = "trial"
    ACTIVATE = "activate"
    CHECK = "check"
    COMMIT = "commit"
    REVERT = "revert"
    DISCARD = "discard"
    COMMITTED = Result.COMMITTED.value
    ROLLED_BACK = Result.ROLLED_BACK.value
    DISCARDED = Result.DISCARDED.value
    STUCK = Result.STUCK.value

    @property
    def is_end(self) -> bool:
        return self not in ON_OK

    @property
    def is_staging(self) -> bool:
        """Whether only a session works on it, and no driver."""
        return self in (State.RECEIVE, State.BUILD)

    @property
    def may_have_session(self) -> bool:
        """Whether a session may be at work on it. One arms, and only then starts the driver."""
        return self.may_discard or self is State.DISCARD

    @property
    def may_discard(self) -> bool:
        """Whether nothing has been started yet, so that a session may take it back."""
        return self in (State.RECEIVE, State.BUILD, State.ARM)

    @property
    def is_undecided(self) -> bool:
        """Whether the lease runs and the verdict is open."""
        return self in (State.ARM, State.TRIAL, State.ACTIVATE, State.CHECK)

    @property
    def is_decided(self) -> bool:
        """Whether a verdict comes too late."""
        return not (self.is_staging or self.is_undecided)


class Ending(Enum):
    """How a state's effect ended."""

    OK = "ok"
    ERROR = "error"
    HOPELESS = "hopeless"  # another try would not help


FIRST, LOST = State.RECEIVE, State.STUCK  # LOST: its journal cannot be read
ARMED = State.ARM  # entered by the session, which then starts the driver
ON_OK: Mapping[State, State] = {
    State.RECEIVE: State.BUILD,
    State.BUILD: State.ARM,
    State.ARM: State.TRIAL,
    State.TRIAL: State.ACTIVATE,
    State.ACTIVATE: State.CHECK,
    State.CHECK: State.COMMIT,
    State.COMMIT: State.COMMITTED,
    State.REVERT: State.ROLLED_BACK,
    State.DISCARD: State.DISCARDED,
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
    State.DISCARD: State.DISCARDED,  # what remains was never visible
}
# A crash is an error of the state in which it happened. STUCK: the cause may have been fixed.
ON_RECOVERY: Mapping[State, State] = {**ON_ERROR, State.STUCK: State.REVERT}
RESUMES_COMMIT: AbstractSet[State] = {State.CHECK, State.STUCK}  # if the verdict is commit


def after(state: State, ending: Ending, *, tries: int, moves: int) -> State:
    """Return the next state; `tries` counts how often this one has failed."""
    if ending is Ending.OK:
        return ON_OK[state]
    onward = ON_ERROR[state]
    spent = ending is Ending.HOPELESS or tries >= TRIES or moves >= MOVES
    return GIVEN_UP[state] if onward is state and spent else onward


def after_crash(state: State, *, committed: bool, moves: int) -> State:
    """Return where a crashed transaction continues; `committed`: the verdict is commit."""
    if moves >= MOVES and state is not State.STUCK:
        return GIVEN_UP.get(state, GIVEN_UP[State.REVERT])
    return State.COMMIT if committed and state in RESUMES_COMMIT else ON_RECOVERY[state]


def after_disk_error(state: State, onward: State) -> State:
    """Return the next state where the disk does not take the entry for `onward`.

    From the old entry a recovery rolls back as well; a commit has its verdict on the disk.
    """
    return ON_ERROR[state] if onward.is_undecided else onward


def waits_for_boot(state: State, *, booting: bool, drained: bool) -> bool:
    """Whether this needs running units, which during a boot wait for the unit that settles.

    `drained`: this host has to be put back into its load balancer, which also needs a network.
    """
    return booting and (state is State.REVERT or (state is State.DISCARD and drained))


def may_settle(state: State, *, commit: bool, healthy: bool) -> bool:
    """Whether a verdict is accepted: not after another one, and no commit before the gate."""
    return not state.is_decided and (healthy or not commit)

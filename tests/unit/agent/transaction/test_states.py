from __future__ import annotations

import pytest

from shipit.agent.protocol.answers import Result
from shipit.agent.transaction.states import (
    GIVEN_UP,
    MOVES,
    ON_ERROR,
    ON_OK,
    ON_RECOVERY,
    TRIES,
    Ending,
    State,
    after,
    after_crash,
    after_disk_error,
    may_settle,
    waits_for_boot,
)

WORKING = [state for state in State if not state.is_end]
SWITCHED = (State.ACTIVATE, State.CHECK, State.REVERT)


def test_every_working_state_has_a_way_on_a_way_out_and_a_way_to_resume() -> None:
    assert set(ON_OK) == set(ON_ERROR) == set(WORKING)
    assert set(ON_RECOVERY) == {*WORKING, State.STUCK}


def test_a_state_that_is_tried_again_has_an_end() -> None:
    assert {state for state, onward in ON_ERROR.items() if onward is state} == set(GIVEN_UP)
    assert all(end.is_end for end in GIVEN_UP.values())


def test_without_errors_the_release_is_committed() -> None:
    state, path = State.RECEIVE, []
    while not state.is_end:
        path.append(state)
        state = after(state, Ending.OK, tries=1, moves=len(path))
    assert path == [
        State.RECEIVE, State.BUILD, State.ARM, State.TRIAL, State.ACTIVATE, State.CHECK,
        State.COMMIT,
    ]  # fmt: skip
    assert state is State.COMMITTED


@pytest.mark.parametrize("state", WORKING)
def test_an_error_leads_back_and_never_to_the_new_release(state: State) -> None:
    onward = after(state, Ending.ERROR, tries=1, moves=1)
    if state is State.COMMIT:
        assert onward is State.COMMIT
    else:
        assert onward is (State.REVERT if state in SWITCHED else State.DISCARD)


@pytest.mark.parametrize("state", WORKING)
def test_any_sequence_of_errors_ends(state: State) -> None:
    tries, moves = 1, 0
    while not state.is_end:
        onward = after(state, Ending.ERROR, tries=tries, moves=moves)
        tries = tries + 1 if onward is state else 1
        state, moves = onward, moves + 1
    assert moves <= 1 + TRIES + 1


@pytest.mark.parametrize("state", GIVEN_UP)
def test_what_is_hopeless_is_not_tried_again(state: State) -> None:
    assert after(state, Ending.HOPELESS, tries=1, moves=1) is GIVEN_UP[state]


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("state", ON_RECOVERY)
def test_a_crash_resumes_with_the_rollback_unless_the_verdict_is_commit(
    state: State, *, committed: bool
) -> None:
    onward = after_crash(state, committed=committed, moves=1)
    forward = state is State.COMMIT or (committed and state in (State.CHECK, State.STUCK))
    back = State.REVERT if state in (*SWITCHED, State.STUCK) else State.DISCARD
    assert onward is (State.COMMIT if forward else back)


@pytest.mark.parametrize("state", WORKING)
def test_a_transaction_that_crashes_for_ever_is_given_up(state: State) -> None:
    assert after_crash(state, committed=False, moves=MOVES).is_end


@pytest.mark.parametrize("state", [state for state in State if state.is_end])
def test_each_end_is_a_result(state: State) -> None:
    assert Result(state.value).value == state.value
    assert len([end for end in State if end.is_end]) == len(Result)


FORWARD = (State.BUILD, State.ARM, State.TRIAL, State.ACTIVATE, State.CHECK, State.COMMIT)


@pytest.mark.parametrize("onward", [State.TRIAL, State.ACTIVATE, State.CHECK])
def test_no_state_on_the_way_forward_is_entered_without_its_entry_on_the_disk(
    onward: State,
) -> None:
    state = FORWARD[FORWARD.index(onward) - 1]
    assert ON_OK[state] is onward
    assert after_disk_error(state, onward) is ON_ERROR[state]
    assert after_disk_error(state, onward) in (State.DISCARD, State.REVERT)


@pytest.mark.parametrize("onward", [State.COMMIT, State.REVERT, State.DISCARD, State.STUCK])
def test_what_was_decided_goes_on_without_its_entry_on_the_disk(onward: State) -> None:
    assert after_disk_error(State.CHECK, onward) is onward


@pytest.mark.parametrize("state", State)
def test_a_verdict_is_accepted_until_one_was_carried_out_and_a_commit_only_after_the_gate(
    state: State,
) -> None:
    still_open = state in (State.RECEIVE, *FORWARD[:-1])
    assert may_settle(state, commit=False, healthy=False) is still_open
    assert may_settle(state, commit=True, healthy=True) is still_open
    assert not may_settle(state, commit=True, healthy=False)


@pytest.mark.parametrize("state", State)
def test_only_what_has_started_nothing_is_discarded_and_only_a_rollback_waits_for_the_boot(
    state: State,
) -> None:
    assert state.may_discard is (state in (State.RECEIVE, State.BUILD, State.ARM))
    assert state.may_have_session is (state.may_discard or state is State.DISCARD)
    assert waits_for_boot(state, booting=True, drained=False) is (state is State.REVERT)
    assert not waits_for_boot(state, booting=False, drained=False)


@pytest.mark.parametrize("state", WORKING)
def test_a_crash_is_an_error_of_the_state_in_which_it_happened(state: State) -> None:
    assert ON_RECOVERY[state] is ON_ERROR[state]


def test_the_rules_are_these() -> None:
    """What follows each state, an error in it, a crash in it, and its last try."""
    rules = {
        state.name: tuple(
            table[state].name if state in table else ""
            for table in (ON_OK, ON_ERROR, ON_RECOVERY, GIVEN_UP)
        )
        for state in State
    }
    assert rules == {
        "RECEIVE": ("BUILD", "DISCARD", "DISCARD", ""),
        "BUILD": ("ARM", "DISCARD", "DISCARD", ""),
        "ARM": ("TRIAL", "DISCARD", "DISCARD", ""),
        "TRIAL": ("ACTIVATE", "DISCARD", "DISCARD", ""),
        "ACTIVATE": ("CHECK", "REVERT", "REVERT", ""),
        "CHECK": ("COMMIT", "REVERT", "REVERT", ""),
        "COMMIT": ("COMMITTED", "COMMIT", "COMMIT", "STUCK"),
        "REVERT": ("ROLLED_BACK", "REVERT", "REVERT", "STUCK"),
        "DISCARD": ("DISCARDED", "DISCARD", "DISCARD", "DISCARDED"),
        "COMMITTED": ("", "", "", ""),
        "ROLLED_BACK": ("", "", "", ""),
        "DISCARDED": ("", "", "", ""),
        "STUCK": ("", "", "REVERT", ""),
    }


@pytest.mark.parametrize("state", GIVEN_UP)
def test_a_retried_state_is_given_up_after_its_last_try_or_move(state: State) -> None:
    assert after(state, Ending.ERROR, tries=TRIES - 1, moves=MOVES - 1) is state
    assert after(state, Ending.ERROR, tries=TRIES, moves=1) is GIVEN_UP[state]
    assert after(state, Ending.ERROR, tries=1, moves=MOVES) is GIVEN_UP[state]


def test_only_after_its_last_move_a_crashed_transaction_is_given_up() -> None:
    for state in WORKING:
        given_up = GIVEN_UP.get(state, State.STUCK)
        assert after_crash(state, committed=False, moves=MOVES - 1) is ON_RECOVERY[state]
        assert after_crash(state, committed=True, moves=MOVES) is given_up
    assert after_crash(State.STUCK, committed=False, moves=MOVES) is State.REVERT

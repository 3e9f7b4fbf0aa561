"""The sample of the fault matrix that every run of the tests plays on real hosts."""

from __future__ import annotations

import pytest

from hosts.fault_cases import (
    CABLE,
    CONTROLLER,
    KINDS,
    MOMENTS,
    POWER,
    SILENCES,
    Fault,
    sample,
    single,
)
from hosts.sabotage import ERROR, KILL
from shipit.agent.transaction.states import ON_OK

STATES = [state.value for state in ON_OK]


def sampled(*kinds: str) -> list[Fault]:
    return [fault for kind in kinds for case in sample(kind) for fault in case.faults]


@pytest.mark.parametrize("kind", [ERROR, KILL, POWER])
def test_every_state_sees_one_error_one_kill_and_one_power_cut(kind: str) -> None:
    assert [fault.state for fault in sampled(kind)] == STATES


@pytest.mark.parametrize("state", STATES)
def test_every_state_sees_faults_both_before_and_after_it(state: str) -> None:
    moments = {fault.when for fault in sampled(ERROR, KILL, POWER) if fault.state == state}
    assert moments == {*MOMENTS}


def test_every_state_sees_either_a_cut_cable_or_a_dead_controller() -> None:
    assert sorted(fault.state for fault in sampled(*SILENCES)) == sorted(STATES)
    assert "check" in {fault.state for fault in sampled(CABLE)}  # where the lease ends it
    assert "commit" in {fault.state for fault in sampled(CONTROLLER)}


@pytest.mark.parametrize("kind", KINDS)
def test_the_sample_is_of_the_whole_matrix(kind: str) -> None:
    whole = list(single(kind))
    assert [case for case in whole if case in sample(kind)] == sample(kind)
    assert len(sample(kind)) < len(whole)

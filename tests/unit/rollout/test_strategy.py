"""What a fleet does next, by the phases of its hosts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipit.rollout.phase import Phase
from shipit.rollout.strategy import Act, Policy, Step, cut, decide, is_spent

HALF = Policy((1, "50%"), 50.0)


def fleet(*phases: Phase) -> dict[str, Phase]:
    return dict(zip("abcdefgh", phases, strict=False))


@pytest.mark.parametrize(
    ("phases", "step"),
    [
        ((Phase.READY, Phase.STAGED, Phase.READY), Step(Act.STAGE, ("a", "c"))),
        ((Phase.STAGED, Phase.STAGED), Step(Act.SWITCH, ("a",), 1, 2)),
        ((Phase.HEALTHY, Phase.STAGED, Phase.STAGED), Step(Act.SWITCH, ("b",), 2, 3)),
        ((Phase.HEALTHY, *[Phase.STAGED] * 3), Step(Act.SWITCH, ("b", "c"), 2, 3)),
        ((Phase.UNCHANGED, Phase.STAGED, Phase.STAGED), Step(Act.SWITCH, ("b",), 1, 2)),
        ((Phase.HEALTHY, Phase.UNCHANGED, Phase.COMMITTED), Step(Act.COMMIT, ("a",))),
        ((Phase.COMMITTED, Phase.UNCHANGED), None),
        ((Phase.READY, Phase.DISCARDED), Step(Act.STAGE, ("a",))),
        ((Phase.STAGED, Phase.HEALTHY, Phase.UNKNOWN, Phase.STUCK), Step(Act.SWITCH, ("a",), 1, 3)),
        (
            (Phase.HEALTHY, Phase.STAGED, Phase.ROLLED_BACK, Phase.DISCARDED, Phase.STUCK),
            Step(Act.ROLL_BACK, ("b", "a")),
        ),
        ((Phase.UNREACHABLE, Phase.UNREACHABLE, Phase.READY), None),
        ((Phase.UNREACHABLE, Phase.DISCARDED, Phase.HEALTHY), Step(Act.COMMIT, ("c",))),
        ((Phase.HEALTHY, Phase.DISCARDED, Phase.DISCARDED), Step(Act.ROLL_BACK, ("a",))),
        ((Phase.STAGED, Phase.DISCARDED, Phase.DISCARDED), Step(Act.ROLL_BACK, ("a",))),
    ],
)
def test_the_next_step_follows_from_the_phases(
    phases: tuple[Phase, ...], step: Step | None
) -> None:
    assert decide(fleet(*phases), HALF) == step


def test_an_interrupted_run_rolls_back_what_it_has_begun() -> None:
    begun = fleet(Phase.READY, Phase.STAGED, Phase.HEALTHY, Phase.COMMITTED)
    assert decide(begun, HALF, stop=True) == Step(Act.ROLL_BACK, ("b", "c"))
    assert decide(fleet(Phase.READY), HALF, stop=True) is None


@pytest.mark.parametrize(
    ("share", "failed", "unreachable", "spent"),
    [
        (0.0, 0, 0, False),
        (0.0, 1, 0, True),
        (0.0, 0, 1, True),
        (25.0, 1, 1, False),
        (25.0, 2, 0, True),
        (25.0, 0, 2, True),
        (24.9, 1, 0, True),
        (100.0, 4, 0, False),
    ],
)
def test_the_budget_is_a_share_of_the_fleet_for_failed_and_for_unreachable_hosts_each(
    share: float, failed: int, unreachable: int, *, spent: bool
) -> None:
    bad = [Phase.ROLLED_BACK] * failed + [Phase.UNREACHABLE] * unreachable
    hosts = fleet(*bad, *[Phase.HEALTHY] * (4 - len(bad)))
    assert is_spent(hosts, Policy(max_fail_percentage=share)) == spent


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        (("100%",), [4]),
        ((1,), [1, 1, 1, 1]),
        ((3,), [3, 1]),
        ((1, "50%"), [1, 2, 1]),
        (("10%",), [1, 1, 1, 1]),
        ((1, "100%"), [1, 3]),
        ((10,), [4]),
        ((0,), [4]),
        ((-1,), [4]),
        (("74.9%",), [2, 2]),
        (("75%", 1), [3, 1]),
        ((2, 1), [2, 1, 1]),
        ((1, 2, 3), [1, 2, 1]),
    ],
)
def test_batches_are_cut_as_ansible_cuts_serial(
    sizes: tuple[int | str, ...], expected: list[int]
) -> None:
    assert [len(batch) for batch in cut(list("abcd"), sizes)] == expected


PHASES = st.sampled_from(list(Phase))


@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=2), PHASES), st.booleans())
def test_decide_always_moves_hosts_that_can_be_moved(phases: dict[str, Phase], stop: bool) -> None:  # noqa: FBT001 - hypothesis fills it in
    step = decide(phases, Policy((1, "25%")), stop=stop)
    allowed = {
        Act.STAGE: {Phase.READY},
        Act.SWITCH: {Phase.STAGED},
        Act.COMMIT: {Phase.HEALTHY},
        Act.ROLL_BACK: {Phase.STAGED, Phase.HEALTHY},
    }
    if step:
        assert step.hosts
        assert {phases[host] for host in step.hosts} <= allowed[step.act]
    else:
        assert not {Phase.STAGED, Phase.HEALTHY} & set(phases.values())

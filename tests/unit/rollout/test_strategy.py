"""What a fleet does next, by the phases of its hosts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipit.rollout.phase import Phase
from shipit.rollout.strategy import Act, Canaries, MixedVersions, Policy, Step, breach, cut, decide

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
            Step(Act.ROLL_BACK, ("b",)),
        ),
        ((Phase.UNREACHABLE, Phase.UNREACHABLE, Phase.READY), None),
        ((Phase.UNREACHABLE, Phase.DISCARDED, Phase.HEALTHY), Step(Act.COMMIT, ("c",))),
        ((Phase.HEALTHY, Phase.DISCARDED, Phase.DISCARDED), Step(Act.ROLL_BACK, ("a",), 1, 3)),
        (
            (*[Phase.HEALTHY] * 3, *[Phase.DISCARDED] * 3, Phase.STUCK),
            Step(Act.ROLL_BACK, ("b", "c"), 2, 3),
        ),
        (
            (Phase.HEALTHY, Phase.ROLLED_BACK, Phase.ROLLED_BACK, *[Phase.DISCARDED] * 3),
            Step(Act.ROLL_BACK, ("a",), 1, 3),
        ),
        ((Phase.STAGED, Phase.DISCARDED, Phase.DISCARDED), Step(Act.ROLL_BACK, ("a",))),
    ],
)
def test_the_next_step_follows_from_the_phases(
    phases: tuple[Phase, ...], step: Step | None
) -> None:
    assert decide(fleet(*phases), HALF) == step


def test_an_interrupted_run_rolls_back_what_it_has_begun() -> None:
    begun = fleet(Phase.READY, Phase.STAGED, Phase.HEALTHY, Phase.COMMITTED)
    assert decide(begun, HALF, stop=True) == Step(Act.ROLL_BACK, ("b",))
    discarded = {**begun, "b": Phase.DISCARDED}
    assert decide(discarded, HALF, stop=True) == Step(Act.ROLL_BACK, ("c",), 2, 3)
    assert decide(fleet(Phase.READY), HALF, stop=True) is None


# --- the table of docs/rollout.md --------------------------------------------------------------

GUIDE = Path(__file__).parents[3] / "docs" / "rollout.md"


def rows() -> list[tuple[str, ...]]:
    cells = [
        tuple(cell.strip() for cell in line.strip("|").split("|"))
        for line in GUIDE.read_text().splitlines()
        if re.match(r"\| \d", line)
    ]
    assert cells
    return cells


@pytest.mark.parametrize("row", rows(), ids=" ".join)
def test_the_limits_are_those_of_the_table(row: tuple[str, ...]) -> None:
    hosts, failed, unreachable, share, failures, absent, run, because = row
    policy = Policy(
        max_fail_percentage=0.0 if share == "-" else float(share),
        max_failures=None if failures == "-" else int(failures),
        max_unreachable=None if absent == "-" else absent if "%" in absent else int(absent),
    )
    bad = [Phase.ROLLED_BACK] * int(failed) + [Phase.UNREACHABLE] * int(unreachable)
    phases = dict(enumerate([*bad, *[Phase.HEALTHY] * (int(hosts) - len(bad))]))
    named = {str(number): phase for number, phase in phases.items()}
    assert breach(named, policy) == because
    assert run == ("rolls back" if because else "goes on")
    step = decide(named, policy)
    if Phase.HEALTHY in phases.values():
        assert step
        assert step.act is (Act.ROLL_BACK if because else Act.COMMIT)


@pytest.mark.parametrize("phase", Phase)
def test_what_counts_as_failed_or_unreachable(phase: Phase) -> None:
    counted = {
        Phase.DISCARDED: "failed",
        Phase.ROLLED_BACK: "failed",
        Phase.UNKNOWN: "failed",
        Phase.STUCK: "failed",
        Phase.UNREACHABLE: "could not be reached",
    }
    assert counted.get(phase, "") in breach(fleet(phase), Policy())
    assert bool(breach(fleet(phase), Policy())) is (phase in counted)


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


CANARY = Policy((1,), max_failures=9, canaries=("b", "c"))


@pytest.mark.parametrize(
    ("phases", "step"),
    [
        ((Phase.STAGED, Phase.STAGED, Phase.STAGED), Step(Act.SWITCH, ("b", "c"), 1, 2)),
        ((Phase.STAGED, Phase.HEALTHY, Phase.STAGED), Step(Act.SWITCH, ("c",), 1, 2)),
        ((Phase.STAGED, Phase.HEALTHY, Phase.HEALTHY), Step(Act.HOLD, ("b", "c"))),
        ((Phase.UNCHANGED, Phase.HEALTHY, Phase.HEALTHY), Step(Act.HOLD, ("b", "c"))),
        ((Phase.STAGED, Phase.HEALTHY, Phase.ROLLED_BACK), Step(Act.ROLL_BACK, ("a",))),
        ((Phase.DISCARDED, Phase.HEALTHY, Phase.HEALTHY), Step(Act.HOLD, ("b", "c"))),
        ((Phase.DISCARDED, Phase.HEALTHY, Phase.UNKNOWN), Step(Act.ROLL_BACK, ("b",), 1, 2)),
    ],
)
def test_canaries_are_switched_first_and_held(phases: tuple[Phase, ...], step: Step) -> None:
    assert decide(fleet(*phases), CANARY) == step


def test_after_a_promotion_the_others_follow() -> None:
    held = fleet(Phase.STAGED, Phase.HEALTHY, Phase.HEALTHY, Phase.STAGED)
    assert decide(held, CANARY, Canaries.PROMOTED) == Step(Act.SWITCH, ("a",), 2, 3)
    done = fleet(Phase.HEALTHY, Phase.HEALTHY, Phase.HEALTHY)
    assert decide(done, CANARY, Canaries.PROMOTED) == Step(Act.COMMIT, ("a", "b", "c"))
    assert decide(done, CANARY, Canaries.PROMOTED, stop=True) == Step(Act.ROLL_BACK, ("a",), 2, 2)


def test_the_host_that_runs_what_runs_once_is_switched_before_the_other_canaries() -> None:
    policy = Policy((1,), elected="c", first_alone=True, canaries=("b", "c"))
    staged = fleet(Phase.STAGED, Phase.STAGED, Phase.STAGED)
    assert decide(staged, policy) == Step(Act.SWITCH, ("c",), 1, 3)
    assert decide({**staged, "c": Phase.HEALTHY}, policy) == Step(Act.SWITCH, ("b",), 2, 3)


def test_a_canary_that_fails_or_is_unreachable_is_named_whatever_is_allowed() -> None:
    allowed = Policy(max_failures=9, max_unreachable=9, canaries=("a",))
    assert breach(fleet(Phase.ROLLED_BACK), allowed) == "a, a canary, failed"
    assert breach(fleet(Phase.UNREACHABLE), allowed) == "a, a canary, could not be reached"
    assert breach(fleet(Phase.HEALTHY, Phase.ROLLED_BACK), allowed) == ""


def test_two_releases_are_in_use_from_the_first_switch_to_the_last_end_of_several_batches() -> None:
    stage, first = Step(Act.STAGE, ("a", "b")), Step(Act.SWITCH, ("a",), 1, 2)
    mixed = MixedVersions()
    for step, began, ended in ((stage, 1.0, 2.0), (first, 3.0, 5.0)):
        mixed.before(step, began)
        mixed.after(step, ended)
    assert mixed.seconds == 2.0
    mixed.before(Step(Act.SWITCH, ("b",), 2, 2), 6.0)
    mixed.after(Step(Act.COMMIT, ("a", "b")), 9.0)
    assert mixed.seconds == 6.0
    alone = MixedVersions()
    alone.before(Step(Act.SWITCH, ("a",), 1, 1), 1.0)
    alone.after(Step(Act.SWITCH, ("a",), 1, 1), 2.0)
    assert alone.seconds == 0

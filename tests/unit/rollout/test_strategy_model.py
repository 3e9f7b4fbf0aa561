"""Whole rollouts of random fleets, against a model that is a loop over batches."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from shipit.rollout.phase import Phase
from shipit.rollout.strategy import Act, Canaries, Policy, Step, cut, decide

MOST_STEPS = 100


@dataclass(frozen=True)
class Fate:
    """The phases that a host has after each step on it."""

    before: Phase = Phase.READY
    staged: Phase = Phase.STAGED  # DISCARDED also where the host holds the release
    switched: Phase = Phase.HEALTHY
    held: Phase = Phase.HEALTHY
    committed: Phase = Phase.COMMITTED
    rolled_back: Phase = Phase.ROLLED_BACK


GOOD = Fate()
FATES = (
    *[GOOD] * 4,  # most hosts are
    Fate(before=Phase.UNCHANGED),
    Fate(before=Phase.UNREACHABLE),
    Fate(before=Phase.DISCARDED),
    Fate(staged=Phase.UNREACHABLE),
    Fate(staged=Phase.DISCARDED),
    Fate(switched=Phase.ROLLED_BACK),
    Fate(switched=Phase.UNKNOWN),
    Fate(switched=Phase.STUCK),
    Fate(held=Phase.ROLLED_BACK),
    Fate(held=Phase.UNKNOWN),
    Fate(rolled_back=Phase.STUCK),
    Fate(rolled_back=Phase.UNKNOWN),
)
FLEETS = st.lists(st.sampled_from(FATES), min_size=1, max_size=12)
SIZES = st.one_of(st.integers(1, 5), st.sampled_from(["10%", "25%", "50%", "100%"]))
POLICIES = st.builds(
    Policy,
    st.lists(SIZES, min_size=1, max_size=3).map(tuple),
    st.sampled_from([0.0, 10.0, 25.0, 50.0, 100.0]),
    st.one_of(st.none(), st.integers(0, 4)),
    st.one_of(st.none(), st.integers(0, 4), st.sampled_from(["0%", "20%", "50%"])),
)


def after(step: Step, host: str, phase: Phase, fates: dict[str, Fate]) -> Phase:
    fate = fates[host]
    if step.act is Act.ROLL_BACK:
        return fate.rolled_back if phase is Phase.HEALTHY else Phase.DISCARDED
    return {
        Act.STAGE: fate.staged,
        Act.SWITCH: fate.switched,
        Act.HOLD: fate.held,
        Act.COMMIT: fate.committed,
    }[step.act]


def rolled_out(
    fates: dict[str, Fate],
    policy: Policy,
    stop_at: int = MOST_STEPS,
    said: Canaries | None = Canaries.PROMOTED,
) -> tuple[dict[str, Phase], list[Step]]:
    """Run `decide`'s steps to the end, from a step on as after a Ctrl-C.

    `said` of a canary that is held; None aborts it.
    """
    phases, steps = {host: fate.before for host, fate in fates.items()}, list[Step]()
    stop, decided = False, Canaries.HELD
    while step := decide(phases, policy, decided, stop=stop or len(steps) >= stop_at):
        steps.append(step)
        assert len(steps) < MOST_STEPS
        phases |= {host: after(step, host, phases[host], fates) for host in step.hosts}
        if step.act is Act.HOLD:
            stop, decided = said is None, said or decided
    return phases, steps


def is_within(phases: dict[str, Phase], policy: Policy) -> bool:
    """Whether the fleet is within its limits, as docs/rollout.md puts it."""
    total = len(phases)
    failed = sum(phase.has_failed for phase in phases.values())
    unreachable = sum(phase is Phase.UNREACHABLE for phase in phases.values())
    share = policy.max_fail_percentage / 100 * total
    of_failed = share if policy.max_failures is None else policy.max_failures
    wanted = policy.max_unreachable
    of_unreachable = share if wanted is None else wanted
    if isinstance(of_unreachable, str):
        of_unreachable = float(of_unreachable[:-1]) / 100 * total
    return failed <= of_failed and unreachable <= of_unreachable


def may_go_on(phases: dict[str, Phase], policy: Policy) -> bool:
    """Whether the fleet is within its limits, and no canary has failed or is unreachable."""
    bad = (Phase.UNREACHABLE, *(phase for phase in Phase if phase.has_failed))
    canaries = [phases[host] for host in policy.canaries if host in phases]
    return is_within(phases, policy) and not any(phase in bad for phase in canaries)


def modelled(
    fates: dict[str, Fate], policy: Policy, said: Canaries | None = Canaries.PROMOTED
) -> dict[str, Phase]:
    """Return how the hosts should end: stage all, then a loop over the batches.

    The canaries are the first batch, and held after it.
    """
    phases = {host: fate.before for host, fate in fates.items()}
    if may_go_on(phases, policy):
        phases = {h: fates[h].staged if p is Phase.READY else p for h, p in phases.items()}
    changing = [h for h, p in phases.items() if p is not Phase.UNCHANGED]
    canaries = [host for host in changing if host in policy.canaries]
    others = [host for host in changing if host not in canaries]
    goes_on, commits = True, True
    for batch in [canaries, *cut(others, policy.batches)]:
        for host in batch if goes_on and may_go_on(phases, policy) else ():
            if phases[host] is Phase.STAGED:
                phases[host] = fates[host].switched
        if batch and batch is canaries and may_go_on(phases, policy):
            phases |= {host: fates[host].held for host in canaries}
            goes_on, commits = said is Canaries.PROMOTED, said is not None
    back = {Phase.STAGED: Phase.DISCARDED}
    if commits and may_go_on(phases, policy):
        return {
            h: fates[h].committed if p is Phase.HEALTHY else back.get(p, p)
            for h, p in phases.items()
        }
    return {
        h: fates[h].rolled_back if p is Phase.HEALTHY else back.get(p, p) for h, p in phases.items()
    }


def named(fates: list[Fate]) -> dict[str, Fate]:
    return {f"web{number}": fate for number, fate in enumerate(fates)}


CANARIES = st.sets(st.integers(0, 12), max_size=4)
SAID = st.sampled_from([Canaries.PROMOTED, Canaries.ALONE, None])  # of those that are held


def with_canaries(fates: list[Fate], policy: Policy, numbers: set[int]) -> Policy:
    """Return the policy with these canaries: of the hosts that change, as they are chosen."""
    changing = [n for n, fate in enumerate(fates) if fate.before is Phase.READY]
    return replace(policy, canaries=tuple(f"web{n}" for n in changing if n in numbers))


@given(FLEETS, POLICIES, CANARIES, SAID)
def test_every_host_ends_as_the_model_says(
    fates: list[Fate], policy: Policy, numbers: set[int], said: Canaries | None
) -> None:
    fleet, policy = named(fates), with_canaries(fates, policy, numbers)
    phases, _ = rolled_out(fleet, policy, said=said)
    # A host that was never reached is left as it was found: it counts as discarded.
    assert phases == modelled(fleet, policy, said)


@given(FLEETS, POLICIES, CANARIES, st.integers(0, 12), SAID)
def test_canaries_are_switched_first_and_held_once_before_any_other_host(
    fates: list[Fate],
    policy: Policy,
    numbers: set[int],
    stop_at: int,
    said: Canaries | None,
) -> None:
    policy = with_canaries(fates, policy, numbers)
    _, steps = rolled_out(named(fates), policy, stop_at, said)
    acts = [step.act for step in steps]
    switched = [set(step.hosts) for step in steps if step.act is Act.SWITCH]
    held = [step for step in steps if step.act is Act.HOLD]
    assert len(held) <= 1
    if held:
        assert held[0].hosts == policy.canaries
        assert switched[0] == set(policy.canaries)
        assert acts.index(Act.SWITCH) == acts.index(Act.HOLD) - 1
    if policy.canaries and len(switched) > 1:
        assert held
        assert said is Canaries.PROMOTED
    if policy.canaries and Act.COMMIT in acts:
        assert held
        assert said is not None


@given(FLEETS, POLICIES, st.integers(0, 12))
def test_hosts_roll_back_in_the_batches_in_which_they_were_switched(
    fates: list[Fate], policy: Policy, stop_at: int
) -> None:
    _, steps = rolled_out(named(fates), policy, stop_at)
    there = [step for step in steps if step.act is Act.SWITCH]
    back = [step for step in steps if step.act is Act.ROLL_BACK and step.number]
    assert [step.number for step in back] == sorted({step.number for step in back}, reverse=True)
    switched = {step.number: set(step.hosts) for step in there}
    assert all(set(step.hosts) <= switched[step.number] for step in back)
    acts = [step.act for step in steps]
    assert Act.COMMIT not in acts or Act.ROLL_BACK not in acts


@given(FLEETS, POLICIES, st.integers(0, 12))
def test_nothing_is_left_open(fates: list[Fate], policy: Policy, stop_at: int) -> None:
    phases, steps = rolled_out(named(fates), policy, stop_at)
    assert not {Phase.STAGED, Phase.HEALTHY} & set(phases.values())
    touched = Counter((step.act, host) for step in steps for host in step.hosts)
    assert max(touched.values(), default=1) == 1


@given(FLEETS, POLICIES, st.data())
def test_which_hosts_fail_in_a_batch_counts_and_not_their_order(
    fates: list[Fate], policy: Policy, data: st.DataObject
) -> None:
    """All hosts at once: the end depends on how many failed alone."""
    together = Policy(("100%",), *[getattr(policy, key) for key in KEYS])
    shuffled = data.draw(st.permutations(fates))
    ends = [rolled_out(named(each), together)[0].values() for each in (fates, shuffled)]
    assert Counter(ends[0]) == Counter(ends[1])


KEYS = ("max_fail_percentage", "max_failures", "max_unreachable")


@given(FLEETS, POLICIES)
def test_no_limit_is_about_a_batch(fates: list[Fate], policy: Policy) -> None:
    """Where nothing exceeds the limits in the end, the batches change nothing."""
    fleet = named(fates)
    together = Policy(("100%",), *[getattr(policy, key) for key in KEYS])
    ended, _ = rolled_out(fleet, together)
    if Phase.COMMITTED in ended.values():
        assert rolled_out(fleet, policy)[0] == ended

"""Decide what a fleet does next. Pure.

Stage all hosts, then switch batch by batch, then commit all; or roll all back. Canaries are the
first batch, and are held before another host is switched.
How many hosts may fail is the table in docs/rollout.md; a test is made from each of its rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from shipit.rollout.phase import Phase

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


CANARY = "a canary"


class Canaries(Enum):
    """What was decided on the canaries."""

    HELD = "held"  # nothing yet
    PROMOTED = "promoted"  # the other hosts follow
    ALONE = "alone"  # they are committed, and no other host follows


@dataclass(frozen=True)
class Policy:
    """How a rollout proceeds. A limit is about all hosts of the run, never about one batch.

    Attributes:
        batches: sizes of the batches, each a number of hosts or a percentage ("25%") of the fleet;
            the last one repeats, as Ansible's `serial` does.
        max_fail_percentage: the rollout stops when *more* than this share of the fleet has failed;
            unreachable hosts are counted apart, against the same share.
        max_failures: how many hosts may fail, instead of a share.
        max_unreachable: how many hosts may be unreachable, a number or a share such as "25%".
        elected: the host that runs what runs once: if it fails, the rollout stops; "" for none.
        first_alone: whether that host is switched before all others.
        canaries: the hosts that are switched first and then held; one that fails stops the rollout.
    """

    batches: tuple[int | str, ...] = ("100%",)
    max_fail_percentage: float = 0.0
    max_failures: int | None = None
    max_unreachable: int | str | None = None
    elected: str = ""
    first_alone: bool = False
    canaries: tuple[str, ...] = ()


@dataclass(frozen=True)
class Limit:
    """How many hosts may have one kind of problem."""

    kind: str  # what these hosts have done, or are
    key: str  # of the playbook
    value: float
    unit: str  # "%" for a share of the fleet

    def is_exceeded(self, bad: int, total: int) -> bool:
        return bad * 100 > self.value * total if self.unit else bad > self.value

    def __str__(self) -> str:
        return f"{self.key} allows {self.value:g}{self.unit}"


class Act(Enum):
    """What a step does on its hosts."""

    STAGE = "stage"
    SWITCH = "switch"
    HOLD = "hold"  # observe the canaries
    COMMIT = "commit"
    ROLL_BACK = "roll_back"  # discard what was only staged, or roll back what was switched


@dataclass(frozen=True)
class Step:
    """What to do next, and on which hosts; a batch has its number and how many there are."""

    act: Act
    hosts: tuple[str, ...]
    number: int = 0
    of: int = 0


def decide(
    phases: Mapping[str, Phase],
    policy: Policy,
    canaries: Canaries = Canaries.HELD,
    *,
    stop: bool = False,
) -> Step | None:
    """Return the next step, None if nothing is left to do.

    No host is switched before every host is staged; after the canaries none before they are
    promoted; hosts are committed only when the whole fleet has passed its gate; an exceeded limit
    rolls back every switched host.

    Args:
        phases: in the inventory's order.
        policy: how the rollout proceeds.
        canaries: what was decided on them.
        stop: whether the run was interrupted.
    """
    here = {phase: tuple(h for h, p in phases.items() if p is phase) for phase in Phase}
    ready, staged, healthy = here[Phase.READY], here[Phase.STAGED], here[Phase.HEALTHY]
    if stop or breach(phases, policy):
        if staged:  # nothing of it runs
            return Step(Act.ROLL_BACK, staged)
        return _last_batch(phases, policy) if healthy else None
    if ready:
        return Step(Act.STAGE, ready)
    held = tuple(host for host in policy.canaries if host in healthy)
    if held and canaries is Canaries.HELD and not set(policy.canaries) & set(staged):
        return Step(Act.HOLD, held)
    if staged and canaries is not Canaries.ALONE:
        return _next_batch(phases, policy)
    # The canaries first: what is only staged counts as failed once it is discarded.
    acts = ((Act.COMMIT, healthy), (Act.ROLL_BACK, staged))
    return next((Step(act, hosts) for act, hosts in acts if hosts), None)


def breach(phases: Mapping[str, Phase], policy: Policy) -> str:
    """Return which limit is exceeded and by how many hosts, as a clause; "" for none."""
    needed = {policy.elected: "which runs what runs once", **dict.fromkeys(policy.canaries, CANARY)}
    for name, role in needed.items():
        phase = phases.get(name)
        if phase is not None and (phase.has_failed or phase is Phase.UNREACHABLE):
            how = "could not be reached" if phase is Phase.UNREACHABLE else "failed"
            return f"{name}, {role}, {how}"
    failed = [phase for phase in phases.values() if phase.has_failed]
    unreachable = [phase for phase in phases.values() if phase is Phase.UNREACHABLE]
    of_failed, of_unreachable = limits(policy)
    for limit, bad in ((of_failed, failed), (of_unreachable, unreachable)):
        if limit.is_exceeded(len(bad), len(phases)):
            hosts = "1 host" if len(phases) == 1 else f"{len(phases)} hosts"
            return f"{len(bad)} of {hosts} {limit.kind}, and {limit}"
    return ""


def limits(policy: Policy) -> tuple[Limit, Limit]:
    """Return the limits of failed and of unreachable hosts."""
    failed, unreachable = "failed", "could not be reached"
    share = ("max_fail_percentage", policy.max_fail_percentage, "%")
    of_failed, of_unreachable = Limit(failed, *share), Limit(unreachable, *share)
    if policy.max_failures is not None:
        of_failed = Limit(failed, "max_failures", policy.max_failures, "")
    if isinstance(wanted := policy.max_unreachable, str):
        number = float(wanted.removesuffix("%"))
        of_unreachable = Limit(unreachable, "max_unreachable", number, "%")
    elif wanted is not None:
        of_unreachable = Limit(unreachable, "max_unreachable", wanted, "")
    return of_failed, of_unreachable


def _next_batch(phases: Mapping[str, Phase], policy: Policy) -> Step:
    """Return the first batch that still has staged hosts."""
    return next(_batches_in(Phase.STAGED, Act.SWITCH, phases, policy))


def _last_batch(phases: Mapping[str, Phase], policy: Policy) -> Step:
    """Return the last batch that still has healthy hosts."""
    return list(_batches_in(Phase.HEALTHY, Act.ROLL_BACK, phases, policy))[-1]


def _batches_in(
    phase: Phase, act: Act, phases: Mapping[str, Phase], policy: Policy
) -> Iterator[Step]:
    """Yield a step for each batch with hosts in this phase, in order."""
    changing = [h for h, p in phases.items() if p is not Phase.UNCHANGED]
    alone = tuple(h for h in changing if policy.first_alone and h == policy.elected)
    canaries = tuple(h for h in changing if h in policy.canaries and h not in alone)
    first = [batch for batch in (alone, canaries) if batch]
    others = [h for h in changing if h not in (*alone, *canaries)]
    batches = [*first, *cut(others, policy.batches)]
    for number, batch in enumerate(batches, 1):
        if hosts := tuple(host for host in batch if phases[host] is phase):
            yield Step(act, hosts, number, len(batches))


def cut(hosts: Sequence[str], sizes: Sequence[int | str]) -> list[tuple[str, ...]]:
    """Divide hosts into batches of these sizes; the last size repeats.

    A percentage is of all hosts, rounded down as Ansible does, but at least one host.
    """
    batches, rest, numbers = [], tuple(hosts), [_size(size, len(hosts)) for size in sizes]
    while rest:
        size = numbers.pop(0) if len(numbers) > 1 else numbers[0]
        batches.append(rest[:size])
        rest = rest[size:]
    return batches


def _size(size: int | str, total: int) -> int:
    if isinstance(size, str):
        return max(1, int(float(size.removesuffix("%")) / 100 * total))
    return size if size > 0 else total


@dataclass
class MixedVersions:
    """How long a run of several batches had hosts with either release; times are in seconds."""

    began: float | None = None
    seconds: float = 0.0

    def before(self, step: Step, now: float) -> None:
        if self.began is None and step.act is Act.SWITCH and step.of > 1:
            self.began = now

    def after(self, _step: Step, now: float) -> None:
        if self.began is not None:
            self.seconds = now - self.began

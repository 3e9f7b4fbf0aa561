"""Decide what a fleet does next. Pure.

Stage all hosts, then switch batch by batch, then commit all or roll all back.

Canaries, pauses and run-once hooks belong in `decide`, as further steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from shipit.rollout.phase import Phase

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Policy:
    """How a rollout proceeds.

    Attributes:
        batches: sizes of the batches, each a number of hosts or a percentage ("25%") of the fleet;
            the last one repeats, as Ansible's `serial` does.
        max_fail_percentage: the rollout stops when *more* than this share of the fleet has failed;
            unreachable hosts are counted apart, against the same share.
    """

    batches: tuple[int | str, ...] = ("100%",)
    max_fail_percentage: float = 0.0


class Act(Enum):
    """What a step does on its hosts."""

    STAGE = "stage"
    SWITCH = "switch"
    COMMIT = "commit"
    ROLL_BACK = "roll_back"  # discard what was only staged, roll back what was switched


@dataclass(frozen=True)
class Step:
    """What to do next, and on which hosts; a batch has its number and how many there are."""

    act: Act
    hosts: tuple[str, ...]
    number: int = 0
    of: int = 0


def decide(phases: Mapping[str, Phase], policy: Policy, *, stop: bool = False) -> Step | None:
    """Return the next step, None if nothing is left to do.

    No host is switched before every host is staged; hosts are committed only when the whole fleet
    has passed its gate; a spent failure budget rolls back every switched host.

    Args:
        phases: in the inventory's order.
        policy: how the rollout proceeds.
        stop: whether the run was interrupted.
    """
    here = {phase: tuple(h for h, p in phases.items() if p is phase) for phase in Phase}
    ready, staged, healthy = here[Phase.READY], here[Phase.STAGED], here[Phase.HEALTHY]
    if stop or is_spent(phases, policy):
        return Step(Act.ROLL_BACK, staged + healthy) if staged or healthy else None
    if ready:
        return Step(Act.STAGE, ready)
    if staged:
        return _next_batch(phases, policy)
    return Step(Act.COMMIT, healthy) if healthy else None


def is_spent(phases: Mapping[str, Phase], policy: Policy) -> bool:
    """Whether more hosts of the fleet have failed than the policy allows."""
    failed = sum(phase.has_failed for phase in phases.values())
    unreachable = sum(phase is Phase.UNREACHABLE for phase in phases.values())
    return max(failed, unreachable) * 100 > policy.max_fail_percentage * len(phases)


def _next_batch(phases: Mapping[str, Phase], policy: Policy) -> Step:
    """Return the first batch that still has staged hosts."""
    batches = cut([h for h, p in phases.items() if p is not Phase.UNCHANGED], policy.batches)
    staged = [tuple(host for host in batch if phases[host] is Phase.STAGED) for batch in batches]
    index = next(index for index, hosts in enumerate(staged) if hosts)
    return Step(Act.SWITCH, staged[index], index + 1, len(batches))


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

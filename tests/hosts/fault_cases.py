"""The fault matrix: cases made from the transaction's tables.

A state that is not on the good path is reached by an error in the state before it, so that a new
state brings its cases along. `faults` plays them.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hosts import sabotage
from shipit.agent.transaction.states import ON_ERROR, ON_OK, State

if TYPE_CHECKING:
    from collections.abc import Iterator

LEASE, CALM = 3.0, 20.0  # seconds
MOMENTS = ("before", "after")
POWER, CABLE, CONTROLLER = "power", "cable", "controller"
SILENCES = (CABLE, CONTROLLER)
KINDS = (sabotage.ERROR, sabotage.KILL, POWER, *SILENCES)


@dataclass(frozen=True)
class Fault:
    """What happens at which moment of which state."""

    state: str
    when: str
    what: str

    def __str__(self) -> str:
        return f"{self.what} {self.when} {self.state}"


@dataclass(frozen=True)
class Case:
    """Faults of one deploy; `way` are the errors by which the first one's state is reached."""

    faults: tuple[Fault, ...]
    way: tuple[Fault, ...] = ()

    @property
    def lease(self) -> float:
        """A short one where it has to end: elsewhere it must not end before the fault strikes."""
        return LEASE if {*SILENCES} & {fault.what for fault in self.faults} else CALM

    def __str__(self) -> str:
        return ", then ".join(map(str, self.faults))


def single(kind: str) -> Iterator[Case]:
    """Yield a kind of fault at every state of the table, before and after it."""
    # For these two, after a state is the same moment as before the next one.
    moments = MOMENTS[:1] if kind in SILENCES else MOMENTS
    for state, when in itertools.product(ON_OK, moments):
        yield Case((Fault(state.value, when, kind),), way_to(state))


def sample(kind: str) -> list[Case]:
    """Return about half of the cases: each kind once at every state, its moment in turn.

    Moments alternate from state to state and from kind to kind, so that a state sees both. Of the
    two kinds by which the host hears no more from its controller, each state sees one.
    """
    order = {state.value: number for number, state in enumerate(ON_OK)}

    def is_due(fault: Fault) -> bool:
        turn = (order[fault.state] + KINDS.index(kind)) % len(MOMENTS)
        return turn == 0 if kind in SILENCES else fault.when == MOMENTS[turn]

    return [case for case in single(kind) if is_due(*case.faults)]


def way_to(state: State) -> tuple[Fault, ...]:
    """Return the errors that lead to a state outside the good path, as late as possible."""
    path, good = State.RECEIVE, [State.RECEIVE]
    while not ON_OK[path].is_end:
        path = ON_OK[path]
        good.append(path)
    if state in good:
        return ()
    last = [before for before in good if ON_ERROR[before] is state][-1]
    return (Fault(last.value, "before", sabotage.ERROR),)


def pair(seed: int) -> Case:
    """Draw two faults; the second happens if its state is reached after the first."""
    draw = random.Random(seed)  # noqa: S311 - a seed brings the same pair again
    first, second = draw.sample([case for kind in KINDS for case in single(kind)], 2)
    return Case((*first.faults, *second.faults), first.way)

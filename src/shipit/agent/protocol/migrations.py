"""The migration of a release, what hosts record of migrations, and what follows from the records.

Shared by both sides. Pure.
"""

from __future__ import annotations

from dataclasses import field
from typing import List, Optional, Sequence, Tuple

from .fields import RELEASE, TXN_OR_NONE
from .hooks import Hook  # noqa: TC001 - type hints are read at run time
from .rules import generations
from .values import dataclass

# States of a record; an unknown one comes from a newer version.
BEGUN = "begun"  # the last word if it was interrupted: its effect is unknown
APPLIED = "applied"
FAILED = "failed"  # it ended by itself, with another status than 0
ABANDONED = "abandoned"  # an operator went on without it
# Options of an attempt.
AGAIN = "migrate-again"  # run it although one is unfinished, or was applied
KNOWN = "migrated"  # another host has applied it
PENDING_TIMEOUT = 300.0  # seconds for the command that prints what a migration would do
PAST = "migration"  # among its overrides: a rollback past an irreversible one


@dataclass(frozen=True)
class Migration:
    """What changes the data that releases share, run once before the first switch.

    Attributes:
        hook: the command, and as whom it runs where.
        pending: a command that prints what it would do; empty for none.
        reversible: whether the previous release runs with the changed data.
    """

    hook: Hook
    pending: Tuple[str, ...] = ()
    reversible: bool = True


@dataclass(frozen=True)
class MigrationLine:
    """A record of a migration, as a host has it."""

    release: str = field(metadata=RELEASE)
    version: str
    state: str
    reversible: bool
    at: str  # ISO 8601, UTC, by the host's clock
    who: str = ""
    txn: str = field(default="", metadata=TXN_OR_NONE)


def unfinished(lines: Sequence[MigrationLine]) -> Optional[MigrationLine]:
    """Return the migration whose effect is unknown: the last one, if it has begun and not ended."""
    return lines[-1] if lines and lines[-1].state == BEGUN else None


def of_txn(lines: Sequence[MigrationLine], txn: str) -> Optional[MigrationLine]:
    """Return how far the migration of a transaction has come: its last record, None for none."""
    return next((line for line in reversed(lines) if line.txn == txn), None)


def is_applied(lines: Sequence[MigrationLine], release: str) -> bool:
    """Whether the migration of a release was applied; each generation of it has the same."""
    same = generations.contents(release)
    states = [line.state for line in lines if generations.contents(line.release) == same]
    return bool(states) and states[-1] == APPLIED


def passed(lines: Sequence[MigrationLine], release: str, committed: str) -> List[MigrationLine]:
    """Return the irreversible migrations between a release and now.

    Whatever their state: one that has failed, or was given up, may have changed the data as well.
    `committed`: when the release was last committed on the host of these records.
    """
    last = {generations.contents(line.release): line for line in lines}
    last.pop(generations.contents(release), None)
    return [line for line in last.values() if not line.reversible and line.at >= committed]

"""The journal of an app's open transaction: what is about to be done, on the disk before it is.

One file, replaced atomically, readable by root alone; without it there is no open transaction.
It holds no secret and no log text. It does not know what the states mean.
"""

import json
import os
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Dict, Optional, Tuple

from . import files
from .codec import from_json
from .machine import State
from .paths import Paths
from .protocol import Attempt, Failure
from .redaction import Redactor

MODE = 0o600


@dataclass(frozen=True)
class Measure:
    """How a service does, to compare a release with the one before."""

    memory: int  # bytes; 0 where it did not run
    errors: float  # lines of its log a minute


@dataclass(frozen=True)
class Journal:
    """An open transaction."""

    txn: str
    state: State
    release: str
    version: str
    previous: str  # the release to go back to; "" for none
    fresh: bool  # this transaction made the release's directory
    attempt: Attempt
    moves: int = 0  # how often the journal was written; capped
    tries: int = 0  # how often the present state has gone wrong
    failure: Optional[Failure] = None
    taken: bool = False  # a driver has begun with it
    healthy: bool = False  # the gate has passed: a commit is acceptable
    boot: str = ""  # the id of the boot in which the two below hold
    untouched: Dict[str, str] = field(default_factory=dict)  # unit -> invocation before the switch
    clean: bool = False  # the disk was put right before any unit of this boot was started
    began: float = 0.0  # when the switch began, seconds since the epoch
    before: Dict[str, Measure] = field(default_factory=dict)  # of the previous release's services
    strays: Tuple[str, ...] = ()  # units that an earlier, stuck transaction may have left
    agent: str = ""  # the zip that drives it
    python: str = ""
    confirm: str = "controller"  # or "host"

    @property
    def what(self) -> str:
        return f"{self.attempt.what} by {self.attempt.who} of {self.attempt.started}"


def load(paths: Paths) -> Optional[Journal]:
    """Return the open transaction, if there is one; a STUCK one counts as open."""
    raw = files.read_json(paths.journal)
    return None if raw is None else _from_raw(raw)


def _from_raw(raw: Dict[str, Any]) -> Journal:
    return from_json(Journal, {**raw, "state": State(raw["state"])})


def save(paths: Paths, journal: Journal) -> Journal:
    """Put the journal on the disk, and return it, with the secrets in its failure masked."""
    failure = Redactor(paths)(journal.failure) if journal.failure else None
    journal = replace(journal, failure=failure)
    bare = replace(failure, evidence="") if failure else None
    raw = {**asdict(replace(journal, failure=bare)), "state": journal.state.value}
    files.write(paths.journal, json.dumps(raw, indent=1).encode(), MODE)
    return journal


def move(paths: Paths, journal: Journal, state: State, **changes: Any) -> Journal:
    """Journal the next state, or the same one once more."""
    tries = journal.tries if state is journal.state else 0
    moved = replace(journal, state=state, moves=journal.moves + 1, tries=tries, **changes)
    return save(paths, moved)


def remove(paths: Paths) -> None:
    """End the transaction: from here on nothing is open."""
    files.unlink(paths.journal)
    files.sync_directory(os.path.dirname(paths.journal))

"""The journal of an app's open transaction: what it says, and its form on the disk. Pure.

`store` reads and writes it: each step is on the disk before it is done. It contains no secret and
no log text. An unreadable journal is an open transaction as well, a STUCK one.
"""

import json
from dataclasses import asdict, field, replace
from typing import Any, Dict, Optional, Tuple

from ..health.measure import Measure
from ..protocol.codec import from_json, parse
from ..protocol.messages import Attempt, Failure
from ..protocol.values import dataclass
from ..system.ownership import Move
from .states import State

FORMAT = 1  # raised when an older agent would misread the file; 0: before it was written
UNREADABLE = "journal-unreadable"
UNKNOWN = "unknown"
ROLLBACK = "rollback"  # protocol.Attempt.what


@dataclass(frozen=True)
class Journal:
    """An open transaction."""

    txn: str
    state: State
    release: str
    version: str
    previous: str  # the rollback target; "" for none
    fresh: bool  # this transaction made the release's directory
    attempt: Attempt
    moves: int = 0  # how often a state was journalled; capped
    tries: int = 0  # how often the present state has failed
    failure: Optional[Failure] = None
    taken: bool = False  # a driver has started
    healthy: bool = False  # the gate has passed: a commit is acceptable
    boot: str = ""  # the id of the boot in which the two below hold
    untouched: Dict[str, str] = field(default_factory=dict)  # unit -> invocation before the switch
    clean: bool = False  # the disk was restored before any unit started in this boot
    began: float = 0.0  # when the switch began, seconds since the epoch
    before: Dict[str, Measure] = field(default_factory=dict)  # of the previous release's services
    # units that a superseded transaction, or a release without a manifest, may have left
    strays: Tuple[str, ...] = ()
    handing: Tuple[Move, ...] = ()  # directories that change their owner in the switch
    agent: str = ""  # the zip that drives it
    python: str = ""
    confirm: str = "controller"  # or "host"
    signed_by: str = ""  # who has signed the release, where the host asks
    # the hooks that have begun, by their number in the release, or what else they are: how each
    # ended, "" if it has not
    hooks: Dict[str, str] = field(default_factory=dict)
    readable: bool = True  # False: stands for an unreadable file

    @property
    def is_rollback(self) -> bool:
        """Whether an operator, or the host itself, wants a release that was checked before."""
        return self.attempt.what == ROLLBACK

    @property
    def what(self) -> str:
        return f"{self.attempt.what} by {self.attempt.who} of {self.attempt.started}"


def decode(content: bytes) -> Journal:
    """Rebuild a journal from its file.

    Raises:
        ValueError: the file is torn or of another format.
    """
    raw = parse(content)
    form = raw.get("format", 0) if isinstance(raw, dict) else 0
    if type(form) is not int or not 0 <= form <= FORMAT:
        raise ValueError(f"its format is {form!r}, and this agent knows 0 to {FORMAT}")
    made = replace(from_json(Journal, raw), readable=True)
    if not made.txn:
        raise ValueError("it names no transaction")
    return made


def encode(journal: Journal) -> bytes:
    """Return the file's content; the evidence of a failure, which is log text, stays out of it."""
    bare = replace(journal.failure, evidence="") if journal.failure else None
    raw: Dict[str, Any] = asdict(replace(journal, failure=bare))
    raw.update(state=journal.state.value, format=FORMAT)
    del raw["readable"]
    return json.dumps(raw, indent=1).encode()


def moved(journal: Journal, state: State, failure: Optional[Failure]) -> Journal:
    """Return the journal in the next state, or in the same one for another try."""
    tries = journal.tries if state is journal.state else 0
    return replace(journal, state=state, failure=failure, moves=journal.moves + 1, tries=tries)


def stuck_advice(journal: Optional[Journal], app: str) -> str:
    """Return what an operator must do about a transaction; "" for nothing."""
    if journal is None or not journal.state.is_end:
        return ""
    failure = journal.failure
    why = f": [{failure.code}] {failure.what}" if failure else ""
    if failure and failure.code == UNREADABLE:
        why += f" ({failure.hint})"
    return (
        f"{journal.what} needs an operator{why}. Rollback target: {journal.previous or 'none'}. See"
        f" `shipit logs PLAYBOOK --limit HOST` (on the host: `systemctl status '{app}-*'`),"
        " fix the cause, then deploy or roll back again:"
        " the rollback is retried first, and a new release is accepted in any case"
    )

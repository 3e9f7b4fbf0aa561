"""The journal of an app's open transaction: each step is written to the disk before it is done.

One file, replaced atomically, readable by root alone; without it there is no open transaction.
An unreadable file is an open transaction as well, a STUCK one, reconstructed from the history and
the releases. It contains no secret and no log text.
"""

import json
import os
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Dict, Optional, Tuple

from ..protocol.codec import from_json, parse
from ..protocol.messages import Attempt, Failure
from ..system import files
from ..system.ownership import Move
from ..system.paths import Paths
from . import history, lease, releases
from .redactor import Redactor
from .states import State

MODE = 0o600
FORMAT = 1  # raised when an older agent would misread the file; 0: before it was written
LIMIT = 8 * 1024 * 1024  # bytes; thousands of units need a fraction of it
UNREADABLE = "journal-unreadable"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Measure:
    """The measure of a service, to compare a release with the previous one."""

    memory: int  # bytes; 0 where it did not run
    errors: float  # lines of its log a minute


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
    readable: bool = True  # False: stands for an unreadable file

    @property
    def what(self) -> str:
        return f"{self.attempt.what} by {self.attempt.who} of {self.attempt.started}"


def load(paths: Paths) -> Optional[Journal]:
    """Return the open transaction, if there is one; a STUCK one counts as open."""
    try:
        return _from_raw(parse(files.read_own(paths.journal, LIMIT)))
    except FileNotFoundError:
        return None
    except (OSError, files.NotOurs) as error:
        return _stand_in_for_unreadable(paths, str(error))
    except ValueError as error:
        return _stand_in_for_unreadable(paths, f"it is damaged: {error}"[:200])


def _from_raw(raw: Any) -> Journal:
    """Rebuild a journal.

    Raises:
        ValueError: the file is torn or of another format.
    """
    form = raw.get("format", 0) if isinstance(raw, dict) else 0
    if type(form) is not int or not 0 <= form <= FORMAT:
        raise ValueError(f"its format is {form!r}, and this agent knows 0 to {FORMAT}")
    made = replace(from_json(Journal, raw), readable=True)
    if not made.txn:
        raise ValueError("it names no transaction")
    return made


def _raw(journal: Journal) -> Dict[str, Any]:
    raw = {**asdict(journal), "state": journal.state.value, "format": FORMAT}
    del raw["readable"]
    return raw


def save(paths: Paths, journal: Journal) -> Journal:
    """Put the journal on the disk, and return it, with the secrets in its failure masked."""
    failure = Redactor(paths)(journal.failure) if journal.failure else None
    journal = replace(journal, failure=failure)
    bare = replace(failure, evidence="") if failure else None
    raw = _raw(replace(journal, failure=bare))
    files.write(paths.journal, json.dumps(raw, indent=1).encode(), MODE)
    return journal


# --- a journal that cannot be read -------------------------------------------------------------


def _stand_in_for_unreadable(paths: Paths, why: str) -> Journal:
    """Return a STUCK transaction that rolls back to the last committed release.

    The verdict is in a separate file: if it is commit, the release of `current` has passed its
    gate, and will be committed.
    """
    txn = lease.transaction(paths) or f"{UNKNOWN}-{_changed(paths):.0f}"
    release, previous = _releases_of(paths, txn)
    manifests = (releases.manifest(paths, each) for each in releases.listed(paths))
    there = [found for found in manifests if found is not None and found.app == paths.app]
    what = f"{paths.journal} cannot be read: {why}"
    hint = f"find out what damaged it (a copy is kept as {paths.unreadable}), and check the disk"
    return Journal(
        txn=txn,
        state=State.STUCK,
        release=release,
        version=next((found.version for found in there if found.id == release), ""),
        previous=previous,
        fresh=False,
        attempt=_unknown_attempt(txn, _changed(paths)),
        failure=Failure(UNREADABLE, what, "recover", hint),
        boot=UNKNOWN,  # no running unit counts as untouched
        strays=tuple(dict.fromkeys(unit.name for found in there for unit in found.units)),
        agent=sys.argv[0],
        python=sys.executable,
        readable=False,
    )


def _releases_of(paths: Paths, txn: str) -> Tuple[str, str]:
    """Return the release of a transaction, or UNKNOWN, and its rollback target."""
    attempts = history.entries(paths)
    for entry in attempts:
        if (entry.txn, entry.outcome) == (txn, history.COMMITTED):
            return entry.release, entry.previous
    top, pointed = history.head(attempts), releases.pointed(paths)
    lost = (
        pointed if releases.manifest(paths, pointed) else ""
    )  # the history is lost, or never existed
    previous = top.release if top else lost
    is_new = pointed != previous or lease.verdict(paths, txn) == lease.COMMIT
    return (pointed if pointed and is_new else UNKNOWN), previous


def _unknown_attempt(txn: str, changed: float) -> Attempt:
    return Attempt(txn, "deploy", UNKNOWN, 0, history.utc(changed))


def _changed(paths: Paths) -> float:
    """Return when the journal was last changed, seconds since the epoch; 0.0 if unknown."""
    try:
        return os.lstat(paths.journal).st_mtime
    except OSError:
        return 0.0


def quarantine(paths: Paths, journal: Journal) -> None:
    """Copy an unreadable journal for an operator; the file itself stays until it is replaced.

    Moves away a directory, which cannot be replaced.
    """
    if journal.readable:
        return
    with suppress(OSError):  # it is only evidence
        files.unlink(paths.unreadable)
        os.link(paths.journal, paths.unreadable, follow_symlinks=False)
    if files.is_real_directory(paths.journal):
        files.remove_tree(paths.unreadable)
        os.rename(paths.journal, paths.unreadable)


def move(paths: Paths, journal: Journal, state: State, **changes: Any) -> Journal:
    """Journal the next state, or the same one once more."""
    tries = journal.tries if state is journal.state else 0
    moved = replace(journal, state=state, moves=journal.moves + 1, tries=tries, **changes)
    return save(paths, moved)


def remove(paths: Paths) -> None:
    """End the transaction: from here on nothing is open."""
    files.unlink(paths.journal)
    files.sync_directory(os.path.dirname(paths.journal))

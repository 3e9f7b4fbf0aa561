"""The journal of an app's open transaction: what is about to be done, on the disk before it is.

One file, replaced atomically, readable by root alone; without it there is no open transaction.
A file that cannot be read is an open transaction all the same, a STUCK one: what it was about is
told from the ledger and the releases. It holds no secret and no log text.
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
LIMIT = 8 * 1024 * 1024  # bytes; thousands of units have a fraction of it
UNREADABLE = "journal-unreadable"
UNKNOWN = "unknown"


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
    # units that an earlier, stuck transaction may have left, or a release without a manifest
    strays: Tuple[str, ...] = ()
    handing: Tuple[Move, ...] = ()  # directories that change hands in the switch
    agent: str = ""  # the zip that drives it
    python: str = ""
    confirm: str = "controller"  # or "host"
    readable: bool = True  # False: made up in place of a file that could not be read

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
        return _in_place_of_unreadable(paths, str(error))
    except ValueError as error:
        return _in_place_of_unreadable(paths, f"it is damaged: {error}"[:200])


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


def _in_place_of_unreadable(paths: Paths, why: str) -> Journal:
    """Return a STUCK transaction that leads back to the last committed release.

    Its verdict lies in a file of its own: where that says commit, the release that `current` names
    has passed its gate, and is committed in the end.
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
        boot=UNKNOWN,  # nothing that runs is taken for untouched
        strays=tuple(dict.fromkeys(unit.name for found in there for unit in found.units)),
        agent=sys.argv[0],
        python=sys.executable,
        readable=False,
    )


def _releases_of(paths: Paths, txn: str) -> Tuple[str, str]:
    """Return the release that a transaction was about, or UNKNOWN, and the one to go back to."""
    attempts = history.entries(paths)
    for entry in attempts:
        if (entry.txn, entry.outcome) == (txn, history.COMMITTED):
            return entry.release, entry.previous
    top, pointed = history.head(attempts), releases.pointed(paths)
    lost = pointed if releases.manifest(paths, pointed) else ""  # the ledger, or it never had any
    previous = top.release if top else lost
    is_new = pointed != previous or lease.verdict(paths, txn) == lease.COMMIT
    return (pointed if pointed and is_new else UNKNOWN), previous


def _unknown_attempt(txn: str, changed: float) -> Attempt:
    return Attempt(txn, "deploy", UNKNOWN, 0, history.utc(changed))


def _changed(paths: Paths) -> float:
    """Return when the journal was last changed, seconds since the epoch; 0.0 if that is unknown."""
    try:
        return os.lstat(paths.journal).st_mtime
    except OSError:
        return 0.0


def quarantine(paths: Paths, journal: Journal) -> None:
    """Keep what could not be read for people; the file itself stays until another replaces it.

    A directory, which nothing can replace, is moved away.
    """
    if journal.readable:
        return
    with suppress(OSError):  # it is evidence, and nothing else
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

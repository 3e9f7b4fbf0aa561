"""Roll back a release that has failed after its commit: a transaction like any other.

The host begins it, under the locks that every deploy takes, and confirms it by itself. Its history
has it as a rollback by the host's watch, which holds the release that it leaves.
"""

import os
import sys
from typing import Collection, Sequence, Tuple

from ..protocol.answers import BY_WATCH, Result, WatchFailure
from ..protocol.messages import Activate, Attempt
from ..protocol.migrations import MigrationLine, passed
from ..records import history, migrations, releases
from ..records.history import Entry
from ..records.watches import Watched
from ..system import files
from ..system.failures import Refused, from_os_error
from ..transaction import client
from ..transaction.effects.verdict import BY_HOST
from ..transaction.journal import ROLLBACK
from ..transaction.store import Store

LEASE = 60.0  # seconds; nobody waits for it: the host confirms by itself
REASON_KEPT = 300  # characters of the failure, in the history


def target(store: Store, of: Watched) -> Tuple[str, str]:
    """Return the release to roll back to; or "" and why there is none."""
    paths = store.paths
    there = [name for name in releases.listed(paths) if releases.manifest(paths, name)]
    return choose(of, history.entries(paths), migrations.lines(paths), there)


def choose(
    of: Watched,
    attempts: Sequence[Entry],
    migrated: Sequence[MigrationLine],
    there: Collection[str],
) -> Tuple[str, str]:
    """Return the same from what is known of the host: `there` are the releases on it. Pure."""
    if of.is_rollback:
        return "", "it was rolled back to, and a host does not roll back twice in a row"
    found = history.rollback_target(attempts, of.release)
    if found is None:
        return "", "there is no release before it"
    if found not in there:
        return "", f"{found}, the release before it, is not on this host any more"
    commits = [(e.release, e.at) for e in attempts if e.outcome == Result.COMMITTED]
    last = [at for release, at in commits if release == found][-1]
    if lines := passed(migrated, found, last):
        names = ", ".join(line.release for line in lines)
        return "", f"that goes past an irreversible migration ({names})"
    return found, ""


def new_txn() -> str:
    return os.urandom(6).hex()


def begin(store: Store, of: Watched, found: WatchFailure, txn: str, to: str) -> None:
    """Begin the transaction, and leave it to its driver.

    Raises:
        files.Locked: a session or a transaction is under way; nothing has changed.
        Refused: why it cannot begin; nothing has changed.
    """
    reason = f"[{found.code}] {found.what}".splitlines()[0][:REASON_KEPT]
    started = history.utc(store.host.wall())
    attempt = Attempt(txn, ROLLBACK, BY_WATCH, os.getpid(), started, reason)
    ask = Activate(attempt, to, LEASE, confirm=BY_HOST, before=of.release)
    with store.session(attempt):
        if store.load() is not None:  # a stuck one as well: an operator decides there
            raise files.Locked(store.paths.journal)
        try:
            client.launch(store, ask, agent_zip=of.agent, python=sys.executable)
        except (Refused, OSError) as error:
            failure = error.failure if isinstance(error, Refused) else from_os_error(error, "arm")
            client.discard(store, txn, failure)
            raise Refused(failure) from error

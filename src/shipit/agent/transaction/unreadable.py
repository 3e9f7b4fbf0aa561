"""What stands for a journal that cannot be read: a STUCK transaction to roll back.

It is reconstructed from the history and the releases. The verdict has a file of its own: if it is
commit, the release of `current` has passed its gate, and will be committed.
"""

import sys
from typing import Tuple

from ..protocol.answers import Result
from ..protocol.messages import Attempt, Failure
from ..records import history, releases
from ..system.paths import Paths
from .journal import UNKNOWN, UNREADABLE, Journal
from .states import LOST


def stand_in(paths: Paths, why: str, *, txn: str, committed: bool, changed: float) -> Journal:
    """Return the journal that rolls back to the last committed release.

    `txn`: of the verdict or the lease, "" if unknown; `changed`: when the journal was last written,
    seconds since the epoch.
    """
    txn = txn or f"{UNKNOWN}-{changed:.0f}"
    release, previous = _releases_of(paths, txn, committed=committed)
    manifests = (releases.manifest(paths, each) for each in releases.listed(paths))
    there = [found for found in manifests if found is not None and found.app == paths.app]
    what = f"{paths.journal} cannot be read: {why}"
    hint = f"find out what damaged it (a copy is kept as {paths.unreadable}), and check the disk"
    return Journal(
        txn=txn,
        state=LOST,
        release=release,
        version=next((found.version for found in there if found.id == release), ""),
        previous=previous,
        fresh=False,
        attempt=Attempt(txn, "deploy", UNKNOWN, 0, history.utc(changed)),
        failure=Failure(UNREADABLE, what, "recover", hint),
        boot=UNKNOWN,  # no running unit counts as untouched
        strays=tuple(dict.fromkeys(unit.name for found in there for unit in found.units)),
        agent=sys.argv[0],
        python=sys.executable,
        readable=False,
    )


def _releases_of(paths: Paths, txn: str, *, committed: bool) -> Tuple[str, str]:
    """Return the release of a transaction, or UNKNOWN, and its rollback target."""
    attempts = history.entries(paths)
    for entry in attempts:
        if (entry.txn, entry.outcome) == (txn, Result.COMMITTED):
            return entry.release, entry.previous
    top, pointed = history.head(attempts), releases.pointed(paths)
    previous = top.release if top else releases.pointed_if_intact(paths)
    return (pointed if pointed and (pointed != previous or committed) else UNKNOWN), previous

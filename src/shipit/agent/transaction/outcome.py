"""What the history says of a transaction that has ended. Changes nothing."""

from typing import Optional

from ..protocol.answers import Result
from ..protocol.messages import Failure
from ..records import history, releases
from ..records.history import Entry
from ..system.paths import Paths
from .journal import Journal


def entry(
    paths: Paths, open_: Journal, result: Result, failure: Optional[Failure], wall: float
) -> Entry:
    """Return the history's entry; `wall` is the time in seconds since the epoch."""
    attempt, manifest = open_.attempt, releases.manifest(paths, open_.release)
    committed = result is Result.COMMITTED
    return Entry(
        txn=open_.txn,
        what=attempt.what,
        release=open_.release,
        version=open_.version,
        previous=open_.previous,
        outcome=result,
        who=attempt.who,
        at=history.utc(wall),
        reason=attempt.reason,
        failure=f"[{failure.code}] {failure.what}" if failure else "",
        manifest=releases.manifest_digest(paths, open_.release) if committed else "",
        failure_code=failure.code if failure else "",
        bundle=manifest.bundle if manifest else "",
        overrides=attempt.overrides,
        signed_by=open_.signed_by,
    )

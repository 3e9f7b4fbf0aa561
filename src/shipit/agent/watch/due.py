"""What is still due of a watch: follows from the records and the clock alone. Pure.

The watch goes on for as long as something is due, and `status` reports by the same rule whether it
should be up: so they cannot differ, whenever the watch was killed.
"""

from typing import Sequence

from ..health.watched import AFTER_FAILURE
from ..protocol.manifest import ROLLBACK, Watch
from ..protocol.values import dataclass
from ..records import history
from ..records.history import Entry
from ..records.watches import Findings, Watched


@dataclass(frozen=True)
class Due:
    """What is due in this boot.

    Attributes:
        until: when its time ends, in seconds since the epoch.
        left: seconds until then; 0 or less once it has ended.
        check: whether the release is to be checked, as the host has booted.
        rollback: whether it has failed, and is to be rolled back.
    """

    until: float
    left: float
    check: bool
    rollback: bool

    @property
    def is_any(self) -> bool:
        return self.left > 0 or self.check or self.rollback


def due(
    of: Watched, known: Findings, watch: Watch, *, boot: str, now: float, has_begun: bool
) -> Due:
    """Return what is due of a commit's watch in a boot.

    A failure that is not over is looked at on for a while after the end, so that it may pass.
    `now`: seconds since the epoch. `has_begun`: see `has_begun`.
    """
    must_check = boot not in (of.boot, known.boot)
    found = known.found if known.is_ill and not must_check else None
    until = of.began + watch.seconds
    if found is not None:
        until = max(until, known.failed_at) + AFTER_FAILURE
    action = "" if found is None else watch.at_boot if found.at_boot else watch.on_failure
    return Due(
        until,
        left=0.0 if known.ended else until - now,
        check=must_check,
        rollback=action == ROLLBACK and not known.why_not and not has_begun,
    )


def has_begun(known: Findings, attempts: Sequence[Entry], running: str) -> bool:
    """Whether the rollback of a commit has begun, which it does at most once.

    `running`: the open transaction, "" for none.
    """
    txn = known.rollback
    return bool(txn) and (txn == running or bool(history.outcome_of(attempts, txn)))

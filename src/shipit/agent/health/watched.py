"""When a committed release has failed: not by one bad look, but by a few of the last ones. Pure.

A process that crashes once and runs again, or one slow answer, is no failure: a release that was
committed is judged more leniently than one at the gate, as its rollback has a price of its own. One
that crashes again and again is a failure, also if it looks well in between.
"""

from typing import Optional, Tuple

from ..protocol.manifest import Gate, Watch
from ..protocol.values import dataclass

BAD, OF = 3, 10  # bad looks that are a failure, among so many
AFTER_FAILURE = 3600.0  # seconds after the end for which one that has failed is looked at on


def longest(watch: Watch, gate: Gate) -> float:
    """Return the seconds after which a watch ends by itself, whatever is due.

    At a boot it first waits for the deadline.
    """
    look = watch.every + sum(check.timeout for check in gate.checks)
    return gate.deadline + watch.seconds + OF * look + AFTER_FAILURE


@dataclass(frozen=True)
class Looks:
    """The last looks at a release.

    Attributes:
        recent: of each look, when it began if it was bad, in seconds since the epoch; else None.
    """

    recent: Tuple[Optional[float], ...] = ()

    def then(self, began: float, *, is_bad: bool) -> "Looks":
        """Return these and one more."""
        return Looks((*self.recent, began if is_bad else None)[-OF:])

    @property
    def bad(self) -> Tuple[float, ...]:
        """When the bad ones began."""
        return tuple(began for began in self.recent if began is not None)

    @property
    def have_failed(self) -> bool:
        return len(self.bad) >= BAD

    @property
    def are_decided(self) -> bool:
        """Whether the last look was good, or has made it a failure."""
        return self.have_failed or self.recent[-1:] == (None,)

    def __str__(self) -> str:
        return f"{len(self.bad)} of the last {len(self.recent)} looks"

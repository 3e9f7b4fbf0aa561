"""The measure of a service, to compare a release with the previous one under live traffic."""

from ..protocol.values import dataclass


@dataclass(frozen=True)
class Measure:
    """What a service takes and logs."""

    memory: int  # bytes; 0 where it did not run
    errors: float  # lines of its log a minute

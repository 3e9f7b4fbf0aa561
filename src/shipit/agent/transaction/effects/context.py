"""What an effect acts on, and how it ends."""

from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Optional, Protocol

from ...host.host import Host
from ...protocol.answers import Result
from ...protocol.manifest import Manifest
from ...protocol.messages import Failure
from ...records import history, releases
from ...records.redactor import Redactor
from ...system.failures import Refused
from ...system.paths import Paths
from .. import outcome
from ..journal import Journal
from ..states import Ending
from ..store import Store


@dataclass(frozen=True)
class Ended:
    """How an effect ended."""

    ending: Ending = Ending.OK
    failure: Optional[Failure] = None
    changes: Mapping[str, Any] = field(default_factory=dict)  # of the journal


class Staging(Protocol):
    """What a session stages: `staging.stage` has the real one. Raises Refused or OSError."""

    @property
    def emit(self) -> Callable[[Any], None]: ...
    def receive(self) -> None: ...
    def build(self) -> None: ...


@dataclass(frozen=True)
class EffectContext:
    """What an effect acts on."""

    store: Store
    emit: Callable[[Any], None]
    redacted: Redactor
    staging: Optional[Staging] = None  # only a session stages

    @classmethod
    def of_driver(cls, store: Store) -> "EffectContext":
        return cls(store, store.log, Redactor(store.paths))

    @property
    def paths(self) -> Paths:
        return self.store.paths

    @property
    def host(self) -> Host:
        return self.store.host


Effect = Callable[[EffectContext, Journal], Ended]


def wanted_of(paths: Paths, open_: Journal) -> Manifest:
    """Return the release that the transaction switches to.

    Raises:
        Refused: release-missing.
    """
    read = releases.manifest if open_.fresh else releases.verified
    found = read(paths, open_.release)
    if found is None:
        what = f"release {open_.release} is incomplete on this host"
        raise Refused(Failure("release-missing", what, open_.state.value, "deploy it again"))
    return found


def previous_of(paths: Paths, open_: Journal) -> Optional[Manifest]:
    """Return the release that a rollback goes to; None where there is none."""
    return releases.manifest(paths, open_.previous)


def record(context: EffectContext, open_: Journal, result: Result) -> None:
    """Write into the history how a transaction ended."""
    failure, wall = context.redacted(open_.failure), context.host.wall()
    history.append(context.paths, outcome.entry(context.paths, open_, result, failure, wall))

"""The load balancer of a release, and what a host records while it is out. Shared by both sides."""

from __future__ import annotations

from dataclasses import field
from typing import Optional, Tuple

from .fields import RELEASE_OR_NONE, SECONDS, TXN, each_matching, matching
from .hooks import Hook  # noqa: TC001 - type hints are read at run time
from .values import dataclass

NAME = r"[A-Za-z0-9_.:-]{1,255}"  # what haproxy takes as a name; a `;` would be another command
LABEL = r"[A-Za-z0-9_-]{1,63}"  # of a host name
SOCKET = (
    rf"/[^\x00-\x20\x7f]{{1,106}}|(\[[0-9A-Fa-f:.]+\]|({LABEL}\.){{0,16}}{LABEL}\.?):[0-9]{{1,5}}"
)


@dataclass(frozen=True)
class Haproxy:
    """This host in haproxy, as its runtime API names it.

    Attributes:
        sockets: of each haproxy, host:port or the path of a unix socket.
    """

    sockets: Tuple[str, ...] = field(metadata=each_matching(SOCKET))
    backend: str = field(metadata=matching(NAME))
    server: str = field(metadata=matching(NAME))

    @property
    def name(self) -> str:
        return f"{self.backend}/{self.server}"


@dataclass(frozen=True)
class LoadBalancer:
    """What sends requests to this host: haproxy, or something that commands tell.

    Attributes:
        wait: seconds for connections to end; haproxy's alone.
    """

    wait: float = field(metadata=SECONDS)
    haproxy: Optional[Haproxy] = None
    drain: Optional[Hook] = None
    undrain: Optional[Hook] = None


@dataclass(frozen=True)
class Place:
    """A load balancer that a host may be out of.

    Attributes:
        release: whose load balancer that is.
    """

    release: str = field(metadata=RELEASE_OR_NONE)
    balancer: LoadBalancer


@dataclass(frozen=True)
class Drained:
    """A host is out of its load balancer, or about to be.

    Attributes:
        since: ISO 8601, UTC, by the host's clock.
        txn: the deploy or rollback that drains it, or has to undrain it.
        release: whose load balancer that is.
        problem: why it could not be undrained; "" while that was not tried.
        others: what it may be out of as well, of earlier releases.
    """

    since: str
    txn: str = field(metadata=TXN)
    what: str
    who: str
    release: str = field(metadata=RELEASE_OR_NONE)
    balancer: LoadBalancer
    problem: str = ""
    others: Tuple[Place, ...] = ()

    @property
    def places(self) -> Tuple[Place, ...]:
        return (Place(self.release, self.balancer), *self.others)

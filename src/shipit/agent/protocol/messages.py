"""The messages between controller and agent, and how they are read from a byte stream.

A frame is one line of JSON, ``{"kind": ..., "size": N, ...}``, then N raw bytes. Every kind is a
frozen dataclass below; both sides build and read frames through `write` and `read` alone. What a
field may contain beyond its type is in its metadata, and is checked when the message is read.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any, BinaryIO, Dict, Mapping, Optional, Tuple, Type

from . import answers, framing
from .balancers import Drained  # noqa: TC001 - type hints are read at run time
from .controls import AskControls, Control, Controls, Hold
from .fields import (
    APP,
    COUNT,
    HEX,
    PATH,
    PATHS_INSIDE,
    RELEASE,
    RELEASE_OR_NONE,
    RELEASES,
    SECONDS,
    SERVICES,
    TXN,
    UTC,
    WORD,
    one_of,
)
from .hooks import HookOutput
from .manifest import Manifest, Signed  # noqa: TC001 - type hints are read at run time
from .migrations import MigrationLine  # noqa: TC001 - type hints are read at run time
from .pulls import Pull, Pulled
from .values import dataclass

VERSION = 1
HEARTBEAT = 10.0  # seconds between Alive messages of an agent
SILENCE = 90.0  # seconds without a message after which an agent counts as hung

Frame = framing.Frame
ProtocolError = framing.ProtocolError
LINE_LIMIT, pack, write = framing.LINE_LIMIT, framing.pack, framing.write


@dataclass(frozen=True)
class Attempt:
    """Who wants what, and why: shown to those who wait for the lock, written to the history."""

    txn: str = field(metadata=TXN)
    what: str = field(metadata=WORD)  # deploy or rollback
    who: str  # user@machine of the controller
    pid: int
    started: str = field(metadata=UTC)  # ISO 8601
    reason: str = ""
    elected: bool = False  # this host runs what runs once
    # "hold", "freeze", "migration": what it was allowed to override
    overrides: Tuple[str, ...] = ()
    options: Tuple[str, ...] = ()  # of the migration: see `migrations`; `canary` of a canary


# --- controller to agent -----------------------------------------------------------------------


@dataclass(frozen=True)
class Hello:
    """Ask for facts; an abandoned transaction is settled first."""

    app: str = field(metadata=APP)
    root: str = field(metadata=PATH)
    blobs: Tuple[str, ...] = ()  # sha256 of all blobs of the release
    nonce: str = field(default="", metadata=HEX)  # keys the digests of env values in the answer
    recover: bool = True  # False: change nothing (plan, status)
    compare: bool = False  # report the drift of the running release, if it was touched


@dataclass(frozen=True)
class Survey:
    """Ask what would prevent staging this release. Changes nothing. Answer: Findings."""

    manifest: Manifest
    missing: int = field(metadata=COUNT)  # bytes that would be sent
    # path in the release (units/..., files/...) -> text
    texts: Dict[str, str] = field(metadata=PATHS_INSIDE)
    user_given: bool = False  # the playbook names the user, who may exist for other reasons
    signed: Optional[Signed] = None
    pending: bool = False  # say what the migration would do


@dataclass(frozen=True)
class Stage:
    """Build and verify the release's directory; nothing visible changes.

    The blobs that it needs were sent as Parts before. Answer: Staged or Failure.
    """

    attempt: Attempt
    manifest: Manifest
    texts: Dict[str, str] = field(metadata=PATHS_INSIDE)
    env: Dict[str, str]  # service -> text of its env file; secret, never logged or journaled
    lock_wait: float = field(default=0.0, metadata=SECONDS)  # to wait for the lock
    user_given: bool = False  # as in Survey
    signed: Optional[Signed] = None


@dataclass(frozen=True)
class Part:
    """A piece of a blob; its bytes are the frame's body."""

    sha256: str
    offset: int
    total: int


@dataclass(frozen=True)
class Activate:
    """Switch to a staged release and check its gate; then wait for the verdict.

    Answer: a Failure if it can't begin; else Activating, events, Healthy, and (after Settle or the
    end of the lease) Settled.
    """

    attempt: Attempt
    release: str = field(metadata=RELEASE)
    lease: float = field(metadata=SECONDS)  # until the host rolls back, unless Renew comes
    lock_wait: float = field(default=0.0, metadata=SECONDS)
    # "host": commit without a verdict once the gate has passed
    confirm: str = field(default="controller", metadata=one_of("controller", "host"))
    # the release that must be the last committed one; "" for none
    before: Optional[str] = field(default=None, metadata=RELEASE_OR_NONE)


@dataclass(frozen=True)
class Renew:
    """The controller is alive: extend the lease."""

    txn: str = field(metadata=TXN)
    lease: float = field(metadata=SECONDS)  # from now


@dataclass(frozen=True)
class Settle:
    """The controller's verdict. The first verdict of a transaction wins; Settled returns it."""

    txn: str = field(metadata=TXN)
    verdict: str = field(metadata=one_of("commit", "revert"))


@dataclass(frozen=True)
class Unstage:
    """Discard a staged release that was never activated. Answer: Settled."""

    txn: str = field(metadata=TXN)


@dataclass(frozen=True)
class Attach:
    """Follow the running transaction. Answer: Attached, then as for Activate; End for none."""

    # the attempt that leads it from now on, and takes the session's lock
    take_over: Optional[Attempt] = None


@dataclass(frozen=True)
class Adopt:
    """Take over a root in which another tool has deployed. Answer: Status or Failure."""

    attempt: Attempt


@dataclass(frozen=True)
class AskStatus:
    """Answer: Status."""

    verify: bool = True  # compare every byte on the disk with the manifest


@dataclass(frozen=True)
class AskReleases:
    """Answer: History."""


@dataclass(frozen=True)
class AskLogs:
    """Answer: LogLines frames until EOF of the request stream (follow) or End."""

    lines: int
    follow: bool
    service: str = ""  # only this service's units; empty: all
    services: Tuple[str, ...] = field(default=(), metadata=SERVICES)  # of the playbook


# --- agent to controller -----------------------------------------------------------------------


@dataclass(frozen=True)
class Holder:
    """The owner of a live lock."""

    attempt: Attempt
    host_pid: int
    phase: str  # session (staging), or the state of the transaction
    age: float = field(metadata=SECONDS)


@dataclass(frozen=True)
class Facts:
    """What a host reports of itself."""

    protocol: int
    hostname: str
    machine: str  # x86_64
    libc: Tuple[str, int, int]  # ("glibc", 2, 36)
    systemd: int
    agent_python: str
    interpreters: Tuple[answers.Interpreter, ...]
    fullest: str  # the fullest folder: the app's root, or /var/lib/shipit
    free_bytes: int = field(metadata=COUNT)  # there
    free_inodes: int = field(metadata=COUNT)
    present: Tuple[str, ...]  # of the blobs asked for
    current: Optional[Manifest]  # the committed, running release
    healthy: bool  # current's started units are all active and `current` points at it
    units: Dict[str, str]  # installed units of the app: name -> text
    env: Dict[str, Dict[str, str]]  # service -> key -> keyed digest of its value
    releases: Tuple[answers.ReleaseLine, ...]  # the newest last
    # the possible rollback targets, the latest last
    behind: Tuple[str, ...] = field(metadata=RELEASES)
    holder: Optional[Holder]
    recovered: str  # how an open transaction was settled, "" for none
    stuck: str  # what an operator must do, "" for nothing
    rejected: Tuple[Failure, ...] = ()  # why some interpreters are not used
    # equal for two names of one machine until it reboots; "" if unknown
    machine_digest: str = field(default="", metadata=HEX)
    drift: Tuple[answers.Drift, ...] = ()  # of the running release, if requested
    signed_only: bool = False
    holds: Tuple[Hold, ...] = ()
    migrations: Tuple[MigrationLine, ...] = ()  # the newest last


@dataclass(frozen=True)
class Failure:
    """The request failed; nothing visible has changed."""

    code: str = field(metadata=WORD)
    what: str
    step: str
    hint: str = ""
    evidence: str = ""


@dataclass(frozen=True)
class Findings:
    """Everything that would prevent staging a release; empty if nothing."""

    problems: Tuple[Failure, ...]
    pending: Optional[str] = None  # if requested and known


@dataclass(frozen=True)
class StepBegan:
    step: str
    detail: str = ""


@dataclass(frozen=True)
class StepEnded:
    step: str
    seconds: float = field(metadata=SECONDS)
    ok: bool


@dataclass(frozen=True)
class StepFailed:
    """A step of the transaction failed; Settled reports the consequence."""

    failure: Failure


@dataclass(frozen=True)
class Probed:
    """A health check changed its answer."""

    check: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class Staged:
    release: str = field(metadata=RELEASE)
    reused: bool  # the directory existed, intact


@dataclass(frozen=True)
class Activating:
    """The switch runs in its own unit, and no longer needs this session."""

    txn: str = field(metadata=TXN)


@dataclass(frozen=True)
class Healthy:
    """The gate has passed; the host waits for the verdict."""

    txn: str = field(metadata=TXN)
    release: str = field(metadata=RELEASE)


@dataclass(frozen=True)
class Attached:
    """The transaction that is followed from now on; its earlier messages are sent again."""

    holder: Holder
    release: str = field(metadata=RELEASE)
    is_led: bool  # its controller is still connected


@dataclass(frozen=True)
class Settled:
    """The end of a transaction on the host."""

    txn: str = field(metadata=TXN)
    outcome: answers.Result
    running: str = field(metadata=RELEASE_OR_NONE)  # id of the release that serves now, "" for none
    failure: Optional[Failure] = None  # why, unless it is committed


@dataclass(frozen=True)
class Status:
    release: str = field(metadata=RELEASE_OR_NONE)
    version: str
    since: str
    who: str
    units: Tuple[answers.UnitState, ...]
    drift: Tuple[answers.Drift, ...]
    holder: Optional[Holder]
    stuck: str
    holds: Tuple[Hold, ...] = ()
    pause: Optional[Control] = None  # of the run there
    drained: Optional[Drained] = None  # it is out of its load balancer, and no deploy runs
    canary: Optional[Control] = None  # of the run there, while it is held
    watch: Optional[answers.WatchState] = None


@dataclass(frozen=True)
class History:
    releases: Tuple[answers.ReleaseLine, ...]  # the newest last
    attempts: Tuple[answers.AttemptLine, ...] = ()  # the newest last; only the last of very many


@dataclass(frozen=True)
class LogLines:
    text: str


@dataclass(frozen=True)
class Alive:
    """The agent is alive; sent every HEARTBEAT seconds."""


@dataclass(frozen=True)
class End:
    """The answer to the request is complete."""


MESSAGES: Mapping[str, Type[Any]] = {
    kind.__name__: kind
    for kind in (
        Hello, Survey, Stage, Part, Activate, Renew, Settle, Unstage, Attach,
        Adopt, AskStatus, AskReleases, AskLogs, Pull, Control, AskControls,
        Facts, Failure, Findings, StepBegan, StepEnded, StepFailed, Probed, Staged,
        Activating, Healthy, Attached, Settled, Status, History, LogLines, Alive, End, Pulled,
        HookOutput, Controls,
    )
}  # fmt: skip


def read(stream: BinaryIO) -> Optional[framing.Frame]:
    """Read one frame; None at the end of the stream.

    Raises:
        ProtocolError: the stream ended inside a frame, or the input is no valid frame.
    """
    return framing.read(stream, MESSAGES)


def unpack(line: bytes) -> Tuple[Any, int]:
    """Return the message of a header line, and how many bytes of body follow it.

    Raises:
        ProtocolError: it is no valid message.
    """
    return framing.unpack(line, MESSAGES)

"""The words that controller and agent exchange, and how they cross a byte stream.

A frame is one line of JSON, ``{"kind": ..., "size": N, ...}``, then N raw bytes. Every kind is a
frozen dataclass below; both sides build and read frames through `write` and `read` alone.
This module holds no behaviour: what the words mean is decided by their senders and receivers.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, Dict, Mapping, NamedTuple, Optional, Tuple, Type

from .codec import from_json
from .contents import Manifest  # noqa: TC001 - type hints are read at run time

VERSION = 1
LINE_LIMIT = 16 * 1024 * 1024  # bytes; a longer header is not ours
BODY_LIMIT = 64 * 1024 * 1024  # bytes; blobs travel in parts far below this


class ProtocolError(Exception):
    """The other side said something that is not in this module."""


@dataclass(frozen=True)
class Attempt:
    """Who wants what, and why: shown to whoever meets the lock, written to the ledger."""

    txn: str
    what: str  # deploy or rollback
    who: str  # user@machine of the controller
    pid: int
    started: str  # ISO 8601, UTC
    reason: str = ""


# --- controller to agent -----------------------------------------------------------------------


@dataclass(frozen=True)
class Hello:
    """Ask for facts; an open transaction that nobody drives any more is settled first."""

    app: str
    root: str
    blobs: Tuple[str, ...] = ()  # sha256 of everything that might be sent
    nonce: str = ""  # hex; keys the digests of env values in the answer
    recover: bool = True  # False: only look (plan, status)


@dataclass(frozen=True)
class Survey:
    """Ask what would keep this release from being staged; touches nothing. Answer: Findings."""

    manifest: Manifest
    missing: int  # bytes that would be sent
    texts: Dict[str, str]  # path in the release (units/..., files/...) -> text
    user_given: bool = False  # the playbook names the user: it may be there for something else


@dataclass(frozen=True)
class Stage:
    """Make the release's directory, whole and verified; nothing visible changes.

    The blobs it needs have come as Parts before it. Answer: Staged or Failure.
    """

    attempt: Attempt
    manifest: Manifest
    texts: Dict[str, str]
    env: Dict[str, str]  # service -> text of its env file; secret, never logged or journaled
    lock_wait: float = 0.0  # seconds to wait for another's lock
    user_given: bool = False  # as in Survey


@dataclass(frozen=True)
class Part:
    """A piece of a blob; its bytes are the frame's body."""

    sha256: str
    offset: int
    total: int


@dataclass(frozen=True)
class Activate:
    """Switch to a staged release and put it through its gate; then wait for the verdict.

    Answer: a Failure if it can't begin; else Activating, events, Healthy, and (after Settle or the
    end of the lease) Settled.
    """

    attempt: Attempt
    release: str
    lease: float  # seconds without Renew after which the host goes back by itself
    lock_wait: float = 0.0
    confirm: str = "controller"  # "host": it commits by itself once its gate has passed
    before: Optional[str] = None  # the release that is to be the last committed one; "" for none


@dataclass(frozen=True)
class Renew:
    """The controller still lives."""

    txn: str
    lease: float  # seconds from now


@dataclass(frozen=True)
class Settle:
    """The fleet's verdict. The first verdict of a transaction wins; Settled tells which it was."""

    txn: str
    verdict: str  # commit or revert


@dataclass(frozen=True)
class Unstage:
    """Give up a staged release that was never activated. Answer: Settled."""

    txn: str


@dataclass(frozen=True)
class Attach:
    """Follow the running transaction. Answer: Attached, then as for Activate; End for none."""

    take_over: Optional[Attempt] = None  # who leads it from now on: takes the session's lock


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


# --- agent to controller -----------------------------------------------------------------------


@dataclass(frozen=True)
class Interpreter:
    """A Python on the host."""

    path: str
    version: str  # 3.11.2
    implementation: str  # cpython
    machine: str  # x86_64


@dataclass(frozen=True)
class Holder:
    """A live lock: whose it is."""

    attempt: Attempt
    host_pid: int
    phase: str  # session (staging), or the state of the transaction
    age: float  # seconds


@dataclass(frozen=True)
class ReleaseLine:
    """A release in a host's history."""

    id: str
    version: str
    outcome: str  # committed, reverted, failed, stuck
    at: str  # ISO 8601, UTC
    who: str
    present: bool  # its directory is still there
    running: bool
    txn: str = ""  # of the attempt that ended so


@dataclass(frozen=True)
class Facts:
    """What a host says of itself."""

    protocol: int
    hostname: str
    machine: str  # x86_64
    libc: Tuple[str, int, int]  # ("glibc", 2, 36)
    systemd: int
    agent_python: str
    interpreters: Tuple[Interpreter, ...]
    fullest: str  # the folder of ours with the least room: the app's root, or /var/lib/shipit
    free_bytes: int  # there
    free_inodes: int
    present: Tuple[str, ...]  # of the blobs asked for
    current: Optional[Manifest]  # the committed, running release
    healthy: bool  # current's started units are all active and `current` points at it
    units: Dict[str, str]  # installed units of the app: name -> text
    env: Dict[str, Dict[str, str]]  # service -> key -> keyed digest of its value
    releases: Tuple[ReleaseLine, ...]  # the newest last
    goes_back_to: str  # the id that a rollback returns to; "" for none
    holder: Optional[Holder]
    recovered: str  # what was done about an open transaction, "" for nothing
    stuck: str  # what a person has to do, "" for nothing
    rejected: Tuple[Failure, ...] = ()  # why interpreters of the host are not used


@dataclass(frozen=True)
class Failure:
    """What was asked for could not be done; nothing of it has become visible."""

    code: str
    what: str
    step: str
    hint: str = ""
    evidence: str = ""


@dataclass(frozen=True)
class Findings:
    """Everything that would keep a release from being staged; empty is good."""

    problems: Tuple[Failure, ...]


@dataclass(frozen=True)
class StepBegan:
    step: str
    detail: str = ""


@dataclass(frozen=True)
class StepEnded:
    step: str
    seconds: float
    ok: bool


@dataclass(frozen=True)
class StepFailed:
    """A step of the transaction failed; what that led to is told by Settled."""

    failure: Failure


@dataclass(frozen=True)
class Probed:
    """A health check changed its answer."""

    check: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class Staged:
    release: str
    reused: bool  # the directory was already there, whole


@dataclass(frozen=True)
class Activating:
    """The switch is under way in a unit of its own: it no longer needs this session."""

    txn: str


@dataclass(frozen=True)
class Healthy:
    """The gate has passed; the host waits for the verdict."""

    txn: str
    release: str


@dataclass(frozen=True)
class Attached:
    """The transaction that is followed from now on; what it has said so far comes again."""

    holder: Holder
    release: str
    is_led: bool  # the controller that began it is still there


@dataclass(frozen=True)
class Settled:
    """The end of a transaction, as it is on the host."""

    txn: str
    outcome: str  # committed, reverted (old release runs), discarded (nothing had changed), stuck
    running: str  # id of the release that serves now, "" for none
    failure: Optional[Failure] = None  # why, unless it is committed


@dataclass(frozen=True)
class UnitState:
    name: str
    active: str  # active/running as systemd says it
    since: str
    main_pid: int
    restarts: int


@dataclass(frozen=True)
class Status:
    release: str
    version: str
    since: str
    who: str
    units: Tuple[UnitState, ...]
    drift: Tuple[str, ...]  # each a sentence that names a path
    holder: Optional[Holder]
    stuck: str


@dataclass(frozen=True)
class History:
    releases: Tuple[ReleaseLine, ...]  # the newest last


@dataclass(frozen=True)
class LogLines:
    text: str


@dataclass(frozen=True)
class End:
    """The answer to the request is complete."""


MESSAGES: Mapping[str, Type[Any]] = {
    kind.__name__: kind
    for kind in (
        Hello, Survey, Stage, Part, Activate, Renew, Settle, Unstage, Attach,
        AskStatus, AskReleases, AskLogs,
        Facts, Failure, Findings, StepBegan, StepEnded, StepFailed, Probed, Staged,
        Activating, Healthy, Attached, Settled, Status, History, LogLines, End,
    )
}  # fmt: skip


# --- framing -----------------------------------------------------------------------------------


class Frame(NamedTuple):
    """A message and the raw bytes that came with it."""

    message: Any
    body: bytes


def pack(message: Any, size: int = 0) -> bytes:
    """Return the header line of a message whose body has `size` bytes."""
    header = {"kind": type(message).__name__, "size": size, **asdict(message)}
    return json.dumps(header, separators=(",", ":")).encode() + b"\n"


def write(stream: BinaryIO, message: Any, body: bytes = b"") -> None:
    """Write one frame and flush it."""
    stream.write(pack(message, len(body)) + body)
    stream.flush()


def read(stream: BinaryIO) -> Optional[Frame]:
    """Read one frame; None at the end of the stream.

    Raises:
        ProtocolError: the stream broke off inside a frame, or what came is not one of ours.
    """
    line = stream.readline(LINE_LIMIT)
    if not line:
        return None
    message, size = unpack(line)
    body = stream.read(size) if size else b""
    if len(body) != size:
        raise ProtocolError("the stream broke off inside a frame")
    return Frame(message, body)


def unpack(line: bytes) -> Tuple[Any, int]:
    """Return the message of a header line, and how many bytes of body follow it."""
    try:
        header = json.loads(line)
        kind, size = MESSAGES[header.pop("kind")], int(header.pop("size"))
        message = from_json(kind, header)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProtocolError(f"not a frame: {line[:200]!r} ({error!r})") from error
    if not 0 <= size <= BODY_LIMIT:
        raise ProtocolError(f"a body of {size} bytes; the limit is {BODY_LIMIT}")
    return message, size

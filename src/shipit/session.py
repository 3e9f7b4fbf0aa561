"""The conversation with one host: requests out; answers, events and failures in.

Knows the order of the words, not their bytes (transport) and not the strategy (rollout). An act
that raises HostError has not switched the host; from the moment a switch is asked for, a lost link
is an outcome (UNKNOWN), because the host's lease then brings it back by itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, cast

from shipit import events
from shipit.agent import contents, protocol
from shipit.errors import HostError
from shipit.phase import Moved, Phase, problem_of

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from shipit.events import Emit

T = TypeVar("T")

ANSWER = 60.0  # seconds for an answer that needs no work
# Seconds between two words of a host that prepares: a step's own limit there is below it.
WORK = 900.0
# Seconds for what has its time from a playbook (a gate, a bake, a last answer) or from a fleet: the
# host says when nobody is at work there any more, and the connection when there is no host.
LONG = 24 * 3600.0
RENEWALS = 3  # renewals of a lease within its length, so that one lost packet costs nothing

PHASES: Mapping[str, Phase] = {
    "committed": Phase.COMMITTED,
    "reverted": Phase.RETURNED,
    "discarded": Phase.UNTOUCHED,
    "stuck": Phase.STUCK,
}


class Wire(Protocol):
    """Frames to and from an agent; `transport` has the real ones."""

    def send(self, message: object, body: bytes = b"") -> None: ...
    def receive(self, timeout: float, awaited: str = ...) -> protocol.Frame | None: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Blob:
    """A file that the host lacks."""

    sha256: str
    path: Path
    size: int


Ship = Callable[[tuple[Blob, ...], Callable[[int], None]], object]
"""Sends blobs to the host, telling the bytes done so far; returns when the host has them all."""


@dataclass(frozen=True)
class Goods:
    """A release, ready to be staged."""

    manifest: contents.Manifest
    texts: Mapping[str, str]
    env: Mapping[str, str] = field(repr=False)  # holds secrets
    blobs: tuple[Blob, ...] = ()
    user_given: bool = False  # the playbook names the user


@dataclass(frozen=True)
class Job:
    """What is wanted of a host.

    Attributes:
        release: the id to switch to.
        goods: what to stage for it; None when the release lies on the host already.
        lease: seconds without a sign of the controller after which the host goes back by itself.
        lock_wait: seconds to wait for somebody else's deploy to end.
        confirm: "host" where the host commits by itself once its gate has passed.
        before: the release that has to be the last committed one still; None where any may be.
    """

    attempt: protocol.Attempt
    release: str
    goods: Goods | None
    lease: float
    lock_wait: float = 0.0
    confirm: str = "controller"
    before: str | None = None


class Session:
    """One host's channel: questions and answers."""

    def __init__(self, name: str, wire: Wire, ship: Ship, emit: Emit) -> None:
        self.name = name
        self.wire, self.ship, self.emit = wire, ship, emit

    def hello(self, ask: protocol.Hello) -> protocol.Facts:
        """Return what the host says of itself, after it settled what an earlier run left open."""
        self.wire.send(ask)
        return self.until(protocol.Facts, LONG if ask.recover else ANSWER)

    def survey(self, ask: protocol.Survey) -> protocol.Findings:
        self.wire.send(ask)
        return self.until(protocol.Findings, ANSWER)

    def status(self, ask: protocol.AskStatus) -> protocol.Status:
        self.wire.send(ask)
        return self.until(protocol.Status, WORK)

    def history(self) -> protocol.History:
        self.wire.send(protocol.AskReleases())
        return self.until(protocol.History, ANSWER)

    def logs(self, ask: protocol.AskLogs, write: Callable[[str], None]) -> None:
        """Hand the host's log to `write`; with `follow` this lasts until the session is closed."""
        self.wire.send(ask)
        patience = 7 * 24 * 3600.0 if ask.follow else ANSWER
        while isinstance(
            word := self.word(protocol.LogLines, protocol.End, timeout=patience), protocol.LogLines
        ):
            write(word.text)

    def attach(self, ask: protocol.Attach) -> protocol.Attached | None:
        """Return what runs on the host, which tells of itself from now on; None for nothing.

        Raises:
            RefusedError: it is to be taken over, and the controller that began it is there.
        """
        self.wire.send(ask)
        word = self.word(protocol.Attached, protocol.End, timeout=ANSWER)
        return word if isinstance(word, protocol.Attached) else None

    def close(self) -> None:
        self.wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def until(self, kind: type[T], timeout: float) -> T:
        word = self.word(kind, timeout=timeout)
        return cast("T", word)

    def word(self, *kinds: type, timeout: float) -> Any:  # noqa: ANN401 - one of `kinds`
        """Return the next word of these kinds; what is said before it becomes events.

        Raises:
            RefusedError: the host answered with a Failure.
            HostError: the link broke (link-lost), or nothing was said for `timeout` seconds.
        """
        while (frame := self.wire.receive(timeout)) is not None:
            if isinstance(frame.message, kinds):
                return frame.message
            if isinstance(frame.message, protocol.Failure):
                raise RefusedError(self.name, frame.message)
            self._tell(frame.message)
        raise HostError(
            "link-lost",
            "the connection ended before the host had answered",
            host=self.name,
            hint="run the same command again: the host first settles what was left open",
        )

    def _tell(self, message: object) -> None:
        match message:
            case protocol.StepBegan(step, detail):
                self.emit(events.StepBegan(self.name, step, detail))
            case protocol.StepEnded(step, seconds, ok):
                self.emit(events.StepEnded(self.name, step, seconds, ok))
            case protocol.StepFailed(failure):
                self.emit(events.Noted(f"{failure.what} [{failure.code}]", self.name))
            case protocol.Probed(check, ok, detail):
                self.emit(events.Probed(self.name, check, ok, detail))
            case _:
                pass  # an answer to a question we no longer ask


class Assignment:
    """What one host has to do in a rollout. Implements `phase.Host`."""

    def __init__(self, session: Session, job: Job) -> None:
        self._session, self._job = session, job
        self._keeper: LeaseKeeper | None = None
        self._switched = False

    @property
    def name(self) -> str:
        return self._session.name

    def stage(self) -> Moved:
        goods = self._job.goods
        if goods is None:
            return Moved(Phase.STAGED)
        self._send_blobs(goods.blobs)
        self._keep_lease()
        try:
            self._stage(goods)
        except HostError:
            self.close()
            raise
        self._session.emit(events.StepBegan(self.name, "staged", "waits for its turn"))
        return Moved(Phase.STAGED)

    def _stage(self, goods: Goods) -> None:
        self._session.wire.send(
            protocol.Stage(
                attempt=self._job.attempt,
                manifest=goods.manifest,
                texts=dict(goods.texts),
                env=dict(goods.env),
                lock_wait=self._job.lock_wait,
                user_given=goods.user_given,
            )
        )
        self._session.until(protocol.Staged, WORK + self._job.lock_wait)

    def _send_blobs(self, blobs: tuple[Blob, ...]) -> None:
        if not blobs:
            return
        total, began, emit = sum(blob.size for blob in blobs), time.monotonic(), self._session.emit
        emit(events.StepBegan(self.name, "send"))
        self._session.ship(blobs, lambda done: emit(events.Sent(self.name, done, total)))
        emit(events.StepEnded(self.name, "send", time.monotonic() - began, ok=True))

    def switch(self) -> Moved:
        job = self._job
        self._switched = True  # from here on, whether or not the request gets through
        self._keep_lease()
        self._session.wire.send(
            protocol.Activate(
                job.attempt,
                job.release,
                job.lease,
                lock_wait=job.lock_wait,
                confirm=job.confirm,
                before=job.before,
            )
        )
        try:
            self._session.until(protocol.Activating, WORK + job.lock_wait)
        except RefusedError:
            self.close()
            raise  # the host has not begun
        except HostError as error:
            return self._lost(error)
        return self.await_gate()

    def lead(self) -> None:
        """Take the place of the controller that asked for the switch: renew, give the verdict."""
        self._switched = True
        self._keep_lease()

    def _keep_lease(self) -> None:
        """Be heard from now on: a host that hears nothing for a lease's length goes back."""
        if self._keeper is None:
            self._keeper = LeaseKeeper(self._session.wire, self._job.attempt.txn, self._job.lease)

    def await_gate(self) -> Moved:
        """Return what becomes of a switch under way: healthy, or the end of it."""
        try:
            word = self._session.word(protocol.Healthy, protocol.Settled, timeout=LONG)
        except HostError as error:
            return self._lost(error)
        if isinstance(word, protocol.Healthy):
            self._session.emit(events.StepBegan(self.name, "healthy", "waits for the others"))
            return Moved(Phase.HEALTHY, word.release)
        return self._end(word)

    def commit(self) -> Moved:
        return self._settle("commit")

    def go_back(self) -> Moved:
        if not self._switched:
            self._session.wire.send(protocol.Unstage(self._job.attempt.txn))
            settled = self._session.until(protocol.Settled, ANSWER)
            self.close()
            return Moved(PHASES[settled.outcome], settled.running)  # for no fault of its own
        return self._settle("revert")

    def _settle(self, verdict: str) -> Moved:
        try:
            self._session.wire.send(protocol.Settle(self._job.attempt.txn, verdict))
            return self._end(self._session.until(protocol.Settled, LONG))
        except HostError as error:
            return self._lost(error)

    def await_end(self) -> Moved:
        """Return what comes of a healthy host on which somebody else decides."""
        try:
            return self._end(self._session.until(protocol.Settled, LONG))
        except HostError as error:
            return self._lost(error)

    def _lost(self, error: HostError) -> Moved:
        """Return what is known of a switched host whose link was lost: nothing."""
        hint = "its transaction goes on: shipit attach PLAYBOOK follows it"
        return Moved(Phase.UNKNOWN, problem=replace(problem_of(error, self.name), hint=hint))

    def _end(self, settled: protocol.Settled) -> Moved:
        if self._keeper:
            self._keeper.stop()
        failure = settled.failure
        problem = _problem(self.name, failure) if failure else None
        return Moved(PHASES[settled.outcome], settled.running, problem)

    def interrupt(self) -> None:
        """Make the act under way end soon: a switched host goes back, a staging one is let go."""
        with suppress(HostError):
            if self._switched:
                self._session.wire.send(protocol.Settle(self._job.attempt.txn, "revert"))
            else:
                self._session.wire.close()

    def close(self) -> None:
        if self._keeper:
            self._keeper.stop()


class RefusedError(HostError):
    """The host itself says that a step failed."""

    def __init__(self, host: str, failure: protocol.Failure) -> None:
        super().__init__(
            failure.code,
            failure.what,
            host=host,
            step=failure.step,
            hint=failure.hint,
            evidence=failure.evidence,
        )


def _problem(host: str, failure: protocol.Failure) -> events.Problem:
    return problem_of(RefusedError(host, failure), host)


class LeaseKeeper:
    """Renews a host's lease, first at once and then from a thread of its own.

    It ends when it is stopped or the link is gone.

    Raises:
        HostError: the first renewal could not be sent.
    """

    def __init__(self, wire: Wire, txn: str, lease: float) -> None:
        self._wire, self._renewal, self._pause = wire, protocol.Renew(txn, lease), lease / RENEWALS
        self._over = threading.Event()
        wire.send(self._renewal)
        self._thread = threading.Thread(target=self._run, name=f"lease {txn}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with suppress(HostError):  # a lost link is noticed by whoever listens
            while not self._over.wait(self._pause):
                self._wire.send(self._renewal)

    def stop(self) -> None:
        self._over.set()

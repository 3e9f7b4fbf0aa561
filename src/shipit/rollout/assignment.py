"""One host's part in a rollout: stage, switch, commit or roll back, and the result of each.

A step that raises HostError has not switched the host. Once a switch is requested, a lost link is
an outcome (UNKNOWN), because the host then rolls back when its lease ends. The same holds for a
host that hangs or gives an impossible answer.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from shipit import events
from shipit.agent.protocol import messages
from shipit.agent.protocol.answers import Result
from shipit.agent.protocol.controls import AskControls, Control, Controls
from shipit.agent.protocol.refusals import PAUSED
from shipit.errors import HostError, InputError
from shipit.rollout.canary.decision import one_line
from shipit.rollout.host_session import ANSWER, LONG, WORK, RefusedError
from shipit.rollout.phase import Phase, Transition, problem_of

if TYPE_CHECKING:
    from shipit.release.build import Blob, BuiltRelease
    from shipit.release.pulling import RemoteBundle
    from shipit.rollout.host_session import HostSession, Wire

MOST_PAUSES = 100  # that end a host's switch before it begins
RENEWALS = 3  # renewals of a lease within its length, so that one lost packet costs nothing


@dataclass(frozen=True)
class Job:
    """What to do on a host.

    Attributes:
        release: the id to switch to.
        built: what to stage for it; None when the host already has the release.
        lease: seconds without contact to the controller after which the host rolls back.
        lock_wait: seconds to wait for another deploy to end.
        confirm: "host" where the host commits by itself once its gate has passed.
        before: the release that must still be the last committed one; None for any.
        patience: seconds that the switch may take, including its gate, bake and rollback.
        staging: seconds that staging may take.
    """

    attempt: messages.Attempt
    release: str
    built: BuiltRelease | None
    lease: float
    lock_wait: float = 0.0
    confirm: str = "controller"
    before: str | None = None
    patience: float = LONG
    staging: float = WORK


class Assignment:
    """What one host has to do in a rollout. Implements `phase.HostControl`."""

    def __init__(self, session: HostSession, job: Job) -> None:
        self._session, self._job = session, job
        self._keeper: LeaseKeeper | None = None
        self._switched = False
        self._pauses = 0

    @property
    def name(self) -> str:
        return self._session.name

    def stage(self) -> Transition:
        built = self._job.built
        if built is None:
            return Transition(Phase.STAGED)
        self._send_blobs(self._pull(built.pulled, built.blobs))
        self._keep_lease()
        request = messages.Stage(
            attempt=self._job.attempt,
            manifest=built.manifest,
            texts=dict(built.texts),
            env=dict(built.env),
            lock_wait=self._job.lock_wait,
            user_given=built.user_given,
            signed=built.signed,
        )
        within = self._job.staging + self._job.lock_wait
        try:
            staged = self._session.ask(request, messages.Staged, within, "the release to be staged")
            self._check_answer(staged, release=built.manifest.id)
        except HostError:
            self.close()
            raise
        self._session.emit(events.StepBegan(self.name, "staged", "waits for its turn"))
        return Transition(Phase.STAGED)

    def _check_answer(self, answer: object, **expected: str) -> None:
        """Refuse an answer that does not match the request.

        Raises:
            HostError: bad-answer.
        """
        actual = {name: str(getattr(answer, name)) for name in expected}
        if actual != expected:
            what = f"{type(answer).__name__} is about {actual}; expected {expected}"
            raise self._session.bad_answer(what)

    def _send_blobs(self, blobs: tuple[Blob, ...]) -> None:
        if not blobs:
            return
        total, began, emit = sum(blob.size for blob in blobs), time.monotonic(), self._session.emit
        emit(events.StepBegan(self.name, "send"))
        self._session.ship(blobs, lambda done: emit(events.Sent(self.name, done, total)))
        emit(events.StepEnded(self.name, "send", time.monotonic() - began, ok=True))

    def _pull(self, pulled: RemoteBundle | None, blobs: tuple[Blob, ...]) -> tuple[Blob, ...]:
        """Let the host fetch what it can; return what has to be sent."""
        there = [blob for blob in blobs if pulled and blob.sha256 in pulled.offsets]
        if not pulled or not there:
            return blobs
        began, emit = time.monotonic(), self._session.emit
        emit(events.StepBegan(self.name, "pull"))
        try:
            request = pulled.request(there)
        except InputError as error:
            first = error.mistakes[0]
            raise HostError(
                first.code, first.what, host=self.name, step="pull", hint=first.hint
            ) from error
        self._session.ask(request, messages.End, WORK, "the host to have fetched its wheels")
        emit(events.StepEnded(self.name, "pull", time.monotonic() - began, ok=True))
        return tuple(blob for blob in blobs if blob not in there)

    def switch(self) -> Transition:
        job = self._job
        self._switched = True  # from now on, whether or not the request arrives
        self._keep_lease()
        self._session.wire.send(
            messages.Activate(
                job.attempt,
                job.release,
                job.lease,
                lock_wait=job.lock_wait,
                confirm=job.confirm,
                before=job.before,
            )
        )
        try:
            within = WORK + job.lock_wait
            answer = self._session.receive(messages.Activating, within=within, awaited="the switch")
            self._check_answer(answer, txn=job.attempt.txn)
        except RefusedError as error:  # the host has not begun
            self._switched = False
            self._pauses += error.code == PAUSED
            if error.code == PAUSED and self._pauses <= MOST_PAUSES:
                return Transition(Phase.STAGED)
            self.close()
            raise
        except HostError as error:
            return self._lost(error)
        return self.await_gate()

    def lead(self) -> None:
        """Replace the controller that requested the switch: renew the lease, give the verdict."""
        self._switched = True
        self._keep_lease()

    def _keep_lease(self) -> None:
        """Start to renew the lease: without renewals the host rolls back when it ends."""
        if self._keeper is None:
            self._keeper = LeaseKeeper(self._session.wire, self._job.attempt.txn, self._job.lease)

    def await_gate(self) -> Transition:
        """Wait for the result of a switch: healthy, or the end of the transaction."""
        kinds = (messages.Healthy, messages.Settled)
        try:
            answer = self._session.receive(*kinds, within=self._job.patience, awaited="the gate")
            if isinstance(answer, messages.Settled):
                return self._ended(answer)
            self._check_answer(answer, txn=self._job.attempt.txn, release=self._job.release)
        except HostError as error:
            return self._lost(error)
        self._session.emit(events.StepBegan(self.name, "healthy", "waits for the others"))
        return Transition(Phase.HEALTHY, answer.release)

    def commit(self) -> Transition:
        return self._settle("commit")

    def roll_back(self) -> Transition:
        if not self._switched:
            request = messages.Unstage(self._job.attempt.txn)
            settled = self._session.ask(
                request, messages.Settled, ANSWER, "the release to be given up"
            )
            self._check_answer(settled, txn=self._job.attempt.txn)
            self.close()  # without its problem: the host has not failed
            return Transition(Phase(settled.outcome.value), settled.running)
        return self._settle("revert")

    def _settle(self, verdict: str) -> Transition:
        try:
            self._session.wire.send(messages.Settle(self._job.attempt.txn, verdict))
            return self._end(self._job.patience, f"the end of its {verdict}")
        except HostError as error:
            return self._lost(error)

    def await_end(self) -> Transition:
        """Wait for the end of a healthy host that another controller decides on."""
        try:
            return self._end(LONG, "the end")
        except HostError as error:
            return self._lost(error)

    def _lost(self, error: HostError) -> Transition:
        """Return the state of a switched host that is lost: unknown; its lease decides."""
        self.close()
        hint = "its transaction continues: shipit attach PLAYBOOK follows it"
        return Transition(Phase.UNKNOWN, problem=replace(problem_of(error, self.name), hint=hint))

    def _end(self, within: float, awaited: str) -> Transition:
        return self._ended(self._session.receive(messages.Settled, within=within, awaited=awaited))

    def _ended(self, settled: messages.Settled) -> Transition:
        """Return the result of the transaction; raise HostError for an impossible answer."""
        is_new = {"running": self._job.release} if settled.outcome is Result.COMMITTED else {}
        self._check_answer(settled, txn=self._job.attempt.txn, **is_new)
        self.close()
        refused = RefusedError(self.name, settled.failure) if settled.failure else None
        problem = problem_of(refused, self.name) if refused else None
        return Transition(Phase(settled.outcome.value), settled.running, problem)

    def tell(self, said: Control | AskControls) -> Controls | Transition:
        try:
            self._session.wire.send(said)
            kinds = (Controls, messages.Settled)
            answer = self._session.receive(*kinds, within=ANSWER, awaited="what stands there")
            return self._ended(answer) if isinstance(answer, messages.Settled) else answer
        except HostError as error:
            return self._lost(error)

    def paused(self) -> str:
        if self._job.built is None:
            return ""  # nothing was staged: what is said of a run needs its lock
        with suppress(HostError):  # its next step reports it
            if pause := self._session.control(AskControls()).pause:
                why = f": {pause.why}" if pause.why else ""
                return one_line(f"by {pause.who} since {pause.at}{why}")
        return ""

    def interrupt(self) -> None:
        """End the running step soon: roll a switched host back, disconnect from a staging one."""
        with suppress(HostError):
            if self._switched:
                self._session.wire.send(messages.Settle(self._job.attempt.txn, "revert"))
            else:
                self._session.wire.close()

    def close(self) -> None:
        if self._keeper:
            self._keeper.stop()


class LeaseKeeper:
    """Renews a host's lease, first at once and then from its own thread.

    It ends when it is stopped or the link is lost.

    Raises:
        HostError: the first renewal could not be sent.
    """

    def __init__(self, wire: Wire, txn: str, lease: float) -> None:
        self._wire, self._renewal, self._pause = wire, messages.Renew(txn, lease), lease / RENEWALS
        self._over = threading.Event()
        wire.send(self._renewal)
        self._thread = threading.Thread(target=self._run, name=f"lease {txn}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with suppress(HostError):  # the receiving thread notices a lost link
            while not self._over.wait(self._pause):
                self._wire.send(self._renewal)

    def stop(self) -> None:
        self._over.set()

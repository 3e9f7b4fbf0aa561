"""One host's part in a rollout: stage, switch, commit or go back, and what comes of each.

An act that raises HostError has not switched the host; from the moment a switch is asked for, a
lost link is an outcome (UNKNOWN), because the host's lease then brings it back by itself. The same
holds for a host that hangs, or answers what can't be.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from shipit import events
from shipit.agent.protocol import messages
from shipit.errors import HostError
from shipit.rollout.host_session import ANSWER, LONG, WORK, RefusedError
from shipit.rollout.phase import Phase, Transition, problem_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shipit.release.build import Blob, ReleaseFiles
    from shipit.rollout.host_session import HostSession, Wire

RENEWALS = 3  # renewals of a lease within its length, so that one lost packet costs nothing

PHASES: Mapping[str, Phase] = {
    "committed": Phase.COMMITTED,
    "reverted": Phase.RETURNED,
    "discarded": Phase.UNTOUCHED,
    "stuck": Phase.STUCK,
}


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
        patience: seconds that the switch may take, its gate, bake and way back included.
    """

    attempt: messages.Attempt
    release: str
    goods: ReleaseFiles | None
    lease: float
    lock_wait: float = 0.0
    confirm: str = "controller"
    before: str | None = None
    patience: float = LONG


class Assignment:
    """What one host has to do in a rollout. Implements `phase.Host`."""

    def __init__(self, session: HostSession, job: Job) -> None:
        self._session, self._job = session, job
        self._keeper: LeaseKeeper | None = None
        self._switched = False

    @property
    def name(self) -> str:
        return self._session.name

    def stage(self) -> Transition:
        goods = self._job.goods
        if goods is None:
            return Transition(Phase.STAGED)
        self._send_blobs(goods.blobs)
        self._keep_lease()
        try:
            self._stage(goods)
        except HostError:
            self.close()
            raise
        self._session.emit(events.StepBegan(self.name, "staged", "waits for its turn"))
        return Transition(Phase.STAGED)

    def _stage(self, goods: ReleaseFiles) -> None:
        ask = messages.Stage(
            attempt=self._job.attempt,
            manifest=goods.manifest,
            texts=dict(goods.texts),
            env=dict(goods.env),
            lock_wait=self._job.lock_wait,
            user_given=goods.user_given,
        )
        within = WORK + self._job.lock_wait
        staged = self._session.ask(ask, messages.Staged, within, "the release to be staged")
        self._believe(staged, release=goods.manifest.id)

    def _believe(self, word: object, **expected: str) -> None:
        """Refuse an answer that is about something else than what was asked for.

        Raises:
            HostError: bad-answer.
        """
        said = {name: str(getattr(word, name)) for name in expected}
        if said != expected:
            what = f"{type(word).__name__} is about {said}; expected {expected}"
            raise self._session.bad_answer(what)

    def _send_blobs(self, blobs: tuple[Blob, ...]) -> None:
        if not blobs:
            return
        total, began, emit = sum(blob.size for blob in blobs), time.monotonic(), self._session.emit
        emit(events.StepBegan(self.name, "send"))
        self._session.ship(blobs, lambda done: emit(events.Sent(self.name, done, total)))
        emit(events.StepEnded(self.name, "send", time.monotonic() - began, ok=True))

    def switch(self) -> Transition:
        job = self._job
        self._switched = True  # from here on, whether or not the request gets through
        self._keep_lease()
        ask = messages.Activate(
            job.attempt,
            job.release,
            job.lease,
            lock_wait=job.lock_wait,
            confirm=job.confirm,
            before=job.before,
        )
        self._session.wire.send(ask)
        try:
            word = self._word(
                messages.Activating, within=WORK + job.lock_wait, awaited="the switch"
            )
            self._believe(word, txn=job.attempt.txn)
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

    def await_gate(self) -> Transition:
        """Return what becomes of a switch under way: healthy, or the end of it."""
        kinds = (messages.Healthy, messages.Settled)
        try:
            word = self._word(*kinds, within=self._job.patience, awaited="the gate")
            if not isinstance(word, messages.Healthy):
                return self._end(word)
            self._believe(word, txn=self._job.attempt.txn, release=self._job.release)
        except HostError as error:
            return self._lost(error)
        self._session.emit(events.StepBegan(self.name, "healthy", "waits for the others"))
        return Transition(Phase.HEALTHY, word.release)

    def _word(self, *kinds: type, within: float, awaited: str) -> Any:  # noqa: ANN401 - one of `kinds`
        return self._session.word(*kinds, within=within, awaited=awaited)

    def commit(self) -> Transition:
        return self._settle("commit")

    def roll_back(self) -> Transition:
        if not self._switched:
            ask = messages.Unstage(self._job.attempt.txn)
            settled = self._session.ask(ask, messages.Settled, ANSWER, "the release to be given up")
            self._believe(settled, txn=self._job.attempt.txn)
            self.close()
            return Transition(PHASES[settled.outcome], settled.running)  # for no fault of its own
        return self._settle("revert")

    def _settle(self, verdict: str) -> Transition:
        try:
            self._session.wire.send(messages.Settle(self._job.attempt.txn, verdict))
            within, awaited = self._job.patience, f"the end of its {verdict}"
            return self._end(self._word(messages.Settled, within=within, awaited=awaited))
        except HostError as error:
            return self._lost(error)

    def await_end(self) -> Transition:
        """Return what comes of a healthy host on which somebody else decides."""
        try:
            return self._end(self._word(messages.Settled, within=LONG, awaited="the end"))
        except HostError as error:
            return self._lost(error)

    def _lost(self, error: HostError) -> Transition:
        """Return what is known of a switched host that is lost: nothing; its lease decides."""
        self.close()
        hint = "its transaction goes on: shipit attach PLAYBOOK follows it"
        return Transition(Phase.UNKNOWN, problem=replace(problem_of(error, self.name), hint=hint))

    def _end(self, settled: messages.Settled) -> Transition:
        """Return what the end of the transaction means; raises HostError where it can't be so."""
        is_new = {"running": self._job.release} if settled.outcome == "committed" else {}
        self._believe(settled, txn=self._job.attempt.txn, **is_new)
        if self._keeper:
            self._keeper.stop()
        failure = settled.failure
        problem = _problem(self.name, failure) if failure else None
        return Transition(PHASES[settled.outcome], settled.running, problem)

    def interrupt(self) -> None:
        """Make the act under way end soon: a switched host goes back, a staging one is let go."""
        with suppress(HostError):
            if self._switched:
                self._session.wire.send(messages.Settle(self._job.attempt.txn, "revert"))
            else:
                self._session.wire.close()

    def close(self) -> None:
        if self._keeper:
            self._keeper.stop()


def _problem(host: str, failure: messages.Failure) -> events.Problem:
    return problem_of(RefusedError(host, failure), host)


class LeaseKeeper:
    """Renews a host's lease, first at once and then from a thread of its own.

    It ends when it is stopped or the link is gone.

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
        with suppress(HostError):  # a lost link is noticed by whoever listens
            while not self._over.wait(self._pause):
                self._wire.send(self._renewal)

    def stop(self) -> None:
        self._over.set()

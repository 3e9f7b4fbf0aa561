"""Follow the transactions on the hosts, from any machine; or take them over from a dead controller.

A follower gives no verdict: the controller that began the transaction decides, or else each host's
lease. Taking over is all or nothing: if one host refuses (its controller is alive) or can't be
queried, none is taken over. A host without a transaction counts as unchanged.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from shipit.agent.protocol import messages
from shipit.agent.protocol.controls import CANARY, PROMOTE, AskControls
from shipit.commands.deploy import Run, until_one_fails
from shipit.events import Noted, Problem, SecretsKnown
from shipit.release.inputs import secrets_at_hand, targets
from shipit.rollout.assignment import Assignment, Job
from shipit.rollout.executor import Fleet
from shipit.rollout.phase import Phase, Transition
from shipit.rollout.prepare import ask, running
from shipit.rollout.strategy import Policy
from shipit.secrets import Mask

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from shipit.errors import HostError
    from shipit.events import Emit
    from shipit.release.inputs import HostInput, RunOptions
    from shipit.rollout.connections import Connections
    from shipit.rollout.host_session import HostSession
    from shipit.rollout.phase import HostControl

FOLLOWING = Policy(max_fail_percentage=100.0)  # a follower rolls no host back
TAKING_OVER = Policy()


def attach(run: RunOptions, emit: Emit, *, take_over: bool = False) -> int:
    """Follow the transactions of every deployment of the playbook to their ends.

    Returns:
        The exit status of the run that is followed.

    Raises:
        InputError: the input is wrong.
    """
    runs = [
        (found[0].deployment.app, partial(_follow, found, run, emit, take_over=take_over))
        for found in targets(run)
    ]
    return until_one_fails("attach", runs, emit)


def _follow(found: Sequence[HostInput], run: RunOptions, emit: Emit, *, take_over: bool) -> int:
    rollout = Run("attach", found, run, emit)
    emit(SecretsKnown(Mask(secrets_at_hand(found, run_commands=False))))

    def fleet(connections: Connections) -> Fleet:
        facts = ask(found, connections, recover=True)
        promoted = promoted_on(connections) if take_over else frozenset()
        request = messages.Attach(rollout.attempt if take_over else None)
        under_way = {
            name: attached
            for name, attached in connections.each(lambda _, host: host.attach(request)).items()
            if attached
        }
        lease = found[0].deployment.confirm_timeout
        replies = Replies(facts, under_way, dict(connections.lost), promoted)
        for name, text in replies.notes(take_over=take_over):
            emit(Noted(text, name))
        states = replies.states(take_over=take_over)
        parts: dict[str, HostControl] = {}
        for name in (name for name, state in states.items() if state.phase is Phase.STAGED):
            session, attached = connections.sessions[name], under_way[name]
            job = Job(attached.holder.attempt, attached.release, None, lease)
            parts[name] = Leader(session, job) if take_over else Follower(session, attached)
        return Fleet(parts, {target.name: states[target.name] for target in found})

    return rollout.execute(fleet, TAKING_OVER if take_over else FOLLOWING)


def promoted_on(connections: Connections) -> frozenset[str]:
    """Return the canaries that were promoted; before a transaction's messages are relayed."""

    def is_promoted(_: str, session: HostSession) -> bool:
        said = session.control(AskControls()).canary
        return said is not None and said.what == PROMOTE

    return frozenset(name for name, it in connections.each(is_promoted).items() if it)


# --- deciding ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Replies:
    """The hosts' replies.

    Attributes:
        lost: those that gave none, or refuse to be taken over.
        promoted: the canaries that somebody has promoted.
    """

    facts: Mapping[str, messages.Facts]
    under_way: Mapping[str, messages.Attached]
    lost: Mapping[str, Transition] = field(default_factory=dict)
    promoted: frozenset[str] = frozenset()

    def states(self, *, take_over: bool) -> dict[str, Transition]:
        """Return the state of every host; STAGED means one to follow or take over."""
        states = {name: self._state(name, take_over=take_over) for name in self.facts}
        return {**states, **self.lost}

    def notes(self, *, take_over: bool) -> Iterator[tuple[str, str]]:
        """Yield a note for the operator about each host."""
        for name in (name for name in self.facts if name not in self.lost):
            attached = self.under_way.get(name)
            if attached:
                yield name, under_way_note(attached, take_over=take_over)
            else:
                yield name, idle_note(self.facts[name])

    def _state(self, name: str, *, take_over: bool) -> Transition:
        if name not in self.under_way:
            return self._idle(name)
        if take_over and (why := self._refusal(name)):
            return self._ended(name, Phase.UNKNOWN, "not-taken-over", f"{why}; its lease decides")
        return Transition(Phase.STAGED, running(self.facts[name]))

    def _refusal(self, name: str) -> str:
        """Return why a host is not taken over, or ""."""
        if self.lost:
            return f"not taken over, because of {', '.join(self.lost)}"
        for canary in self._not_promoted():
            return f"not taken over, because the canary {canary} was not promoted"
        is_newest = self.under_way[name].holder.attempt.txn == self._newest().txn
        return "" if is_newest else "its transaction is not the newest one"

    def _not_promoted(self) -> list[str]:
        """Return the canaries of the run that nobody has promoted, also those not held yet."""
        attempts = {name: attached.holder.attempt for name, attached in self.under_way.items()}
        canaries = (name for name, attempt in attempts.items() if CANARY in attempt.options)
        return [name for name in canaries if name not in self.promoted]

    def _idle(self, name: str) -> Transition:
        facts = self.facts[name]
        if facts.stuck:
            what = "its transaction could neither be finished nor rolled back"
            return self._ended(name, Phase.STUCK, "stuck", what, facts.stuck)
        if self.under_way and rolled_back(facts, self._newest()):
            last = facts.releases[-1]
            what = f"release {last.id} was {last.outcome.replace('_', ' ')} here"
            return self._ended(name, Phase.ROLLED_BACK, "gone-back", what)
        return Transition(Phase.UNCHANGED, running(facts))

    def _ended(self, name: str, phase: Phase, code: str, what: str, hint: str = "") -> Transition:
        problem = Problem(name, code, what, "attach", hint)
        return Transition(phase, running(self.facts[name]), problem)

    def _newest(self) -> messages.Attempt:
        attempts = [attached.holder.attempt for attached in self.under_way.values()]
        return max(attempts, key=lambda attempt: attempt.started)  # all are UTC, of one form


def rolled_back(facts: messages.Facts, attempt: messages.Attempt) -> bool:
    """Whether a host has already ended this attempt without a commit."""
    ended = [line.outcome for line in facts.releases if line.txn == attempt.txn]
    return bool(ended) and ended[-1] != "committed"


def idle_note(facts: messages.Facts) -> str:
    """Return the note for a host without a transaction."""
    now = next((line for line in reversed(facts.releases) if line.running), None)
    runs = f"{now.version} is committed since {now.at}" if now else "no release is committed"
    done = f"{facts.recovered}; " if facts.recovered else ""
    return f"{done}nothing runs here; {runs}"


def under_way_note(attached: messages.Attached, *, take_over: bool) -> str:
    """Return the note for a transaction that is followed or taken over from now on."""
    holder, attempt = attached.holder, attached.holder.attempt
    why = f" ({attempt.reason})" if attempt.reason else ""
    whose = (
        f"{attempt.what} of {attached.release} by {attempt.who}{why}, begun {attempt.started},"
        f" now in {holder.phase}"
    )
    if take_over:
        return f"takes over the {whose}"
    orphaned = "; its controller is gone: its lease decides, or --take-over"
    return f"follows the {whose}{'' if attached.is_led else orphaned}"


# --- following and taking over -----------------------------------------------------------------


class Follower(Assignment):
    """Follows a host's transaction; it gives no verdict and renews no lease."""

    def __init__(self, session: HostSession, attached: messages.Attached) -> None:
        super().__init__(session, Job(attached.holder.attempt, attached.release, None, 0.0))
        self._detached = threading.Event()

    def switch(self) -> Transition:
        """Wait for the end."""
        transition = self.await_gate()
        return self.await_end() if transition.phase is Phase.HEALTHY else transition

    def roll_back(self) -> Transition:
        what = "no longer followed; its transaction continues"
        hint = "shipit attach PLAYBOOK follows it again"
        problem = Problem(self.name, "detached", what, "attach", hint)
        return Transition(Phase.UNKNOWN, problem=problem)

    def interrupt(self) -> None:
        self._detached.set()
        super().interrupt()

    def _lost(self, error: HostError) -> Transition:
        return self.roll_back() if self._detached.is_set() else super()._lost(error)


class Leader(Assignment):
    """Takes a host's transaction over from a controller that is gone, and finishes it."""

    def __init__(self, session: HostSession, job: Job) -> None:
        super().__init__(session, job)
        self.lead()  # renew the lease from now on, also while waiting for other hosts

    def switch(self) -> Transition:
        """Wait for the gate; the other controller has requested the switch."""
        return self.await_gate()

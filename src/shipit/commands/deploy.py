"""The use cases, each of which reads aloud like the README.

Everything a person wrote is checked before a host is asked; every host is asked before one is
staged; every host is staged before one is switched; and no host is committed before the last one
has passed its gate.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from shipit.errors import ShipitError
from shipit.events import (
    DeploymentEnd,
    Noted,
    Outcome,
    PlaybookEnded,
    RunBegan,
    RunEnded,
    SecretsKnown,
)
from shipit.release.inputs import secrets_at_hand, targets
from shipit.release.plan import Action
from shipit.rollout import executor, rollback_target
from shipit.rollout.assignment import Assignment, Job
from shipit.rollout.connections import connect_all
from shipit.rollout.executor import Fleet, Policy
from shipit.rollout.host_session import SWITCH
from shipit.rollout.phase import Phase, Transition
from shipit.rollout.prepare import ask, attempt_to, prepare, running, wanted_by
from shipit.secrets import Mask

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from shipit.agent.protocol import messages
    from shipit.agent.protocol.answers import ReleaseLine
    from shipit.events import Emit, HostResult
    from shipit.release.build import BuiltRelease, ReleaseFiles
    from shipit.release.inputs import HostInput, ResolvedInput, RunOptions
    from shipit.release.plan import HostPlan
    from shipit.rollout.connections import Connections
    from shipit.rollout.rollback_target import Candidates

BROKEN_OFF = 1  # the exit status of a bug
AT_ONCE = Policy()  # a rollback takes all hosts in one batch
ADVICE: Mapping[int, str] = {
    3: "fix the problem above and run the command again",
    4: "fix the problem above and run the command again; nothing has to be cleaned up",
    5: "look at the hosts named above: shipit status PLAYBOOK --limit HOST",
    130: "run the same command again when you are ready",
}
FOLLOW = "shipit attach PLAYBOOK follows what goes on on the hosts that were lost"


# --- deploy ------------------------------------------------------------------------------------


def deploy(run: RunOptions, emit: Emit) -> int:
    """Ship every deployment of the playbook, in order; stop at the first that fails.

    Returns:
        The exit status.

    Raises:
        InputError: something a person wrote is wrong; no host was changed.
    """
    runs = [
        (each[0].target.deployment.app, partial(ship, each, run, emit))
        for each in wanted_by(run, emit)
    ]
    return until_one_fails("deploy", runs, emit)


def ship(wanted: Sequence[ResolvedInput], run: RunOptions, emit: Emit) -> int:
    """Ship one deployment to its hosts. Returns the exit status."""
    found = [wish.target for wish in wanted]
    story = Run("deploy", found, run, emit)

    def fleet(hosts: Connections) -> Fleet:
        tasks = {
            name: _ship_task(offer, plan, story)
            for name, (offer, plan) in prepare(
                wanted, hosts, story.attempt, allow_older=run.allow_older
            ).items()
        }
        return _fleet(tasks, found, hosts)

    wish = found[0].deployment
    return story.tell(fleet, Policy(wish.serial, wish.max_fail_percentage))


def _ship_task(offer: BuiltRelease, plan: HostPlan, story: Run) -> _Task:
    phase = Phase.UNCHANGED if plan.action is Action.NOTHING else Phase.READY
    return _Task(story.job(plan.release, offer.goods), Transition(phase, plan.current))


# --- rollback ----------------------------------------------------------------------------------


def rollback(run: RunOptions, emit: Emit, to: str | None = None) -> int:
    """Bring all hosts back to the last good release that they had in common, or to a named one.

    All hosts at once, from what lies on them: nothing is sent and no package index is asked. The
    deployments of a playbook go back in reverse order.
    """
    runs = [
        (found[0].deployment.app, partial(_bring_back, found, run, emit, to))
        for found in reversed(targets(run))
    ]
    return until_one_fails("rollback", runs, emit)


def _bring_back(found: Sequence[HostInput], run: RunOptions, emit: Emit, to: str | None) -> int:
    story = Run("rollback", found, run, emit)
    emit(SecretsKnown(Mask(secrets_at_hand(found, run_commands=False))))

    def fleet(hosts: Connections) -> Fleet:
        answers = ask(found, hosts, recover=True)
        known: dict[str, Candidates] = {}
        for name, facts in answers.items():
            with hosts.holding(name, running(facts)):
                known[name] = rollback_target.candidates(facts)
        choice = rollback_target.choose(known, to)
        if choice.note:
            emit(Noted(choice.note))
        made: dict[str, _Task] = {}
        for name in known:
            facts = answers[name]
            with hosts.holding(name, running(facts)):
                made[name] = _return_task(facts, choice.of(name), story, is_named=to is not None)
        return _fleet(made, found, hosts)

    return story.tell(fleet, AT_ONCE)


def _return_task(facts: messages.Facts, goal: ReleaseLine, story: Run, *, is_named: bool) -> _Task:
    phase = Phase.UNCHANGED if goal.running and not facts.stuck else Phase.READY
    # What is before the last release depends on which is the last: another run may just end.
    last = next((line.id for line in facts.releases if line.running), "")
    job = replace(story.job(goal.id, None), before=None if is_named else last)
    return _Task(job, Transition(phase, running(facts)))


def _fleet(tasks: Mapping[str, _Task], found: Sequence[HostInput], hosts: Connections) -> Fleet:
    before = {**{name: task.before for name, task in tasks.items()}, **hosts.lost}
    return Fleet(
        {name: Assignment(hosts.sessions[name], task.job) for name, task in tasks.items()},
        {target.name: before[target.name] for target in found},
    )


# --- telling -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Task:
    """What one host has to do, and where it stands before."""

    job: Job
    before: Transition


class Run:
    """A run, told from its first word to its last, whatever breaks it off."""

    def __init__(self, what: str, found: Sequence[HostInput], run: RunOptions, emit: Emit) -> None:
        self.attempt = attempt_to(what, run)
        self._found, self._run, self._emit = found, run, emit
        self._began = time.monotonic()

    def job(self, release: str, goods: ReleaseFiles | None) -> Job:
        wish = self._found[0].deployment
        lease, wait = wish.confirm_timeout, self._run.lock_wait
        times = (
            wish.health.deadline,
            wish.health.bake,
            *(each.stop_timeout for each in wish.services.values()),
        )
        # Twice: there and back. What an older release has other times for is within SWITCH.
        patience = SWITCH + 2 * sum(times)
        return Job(
            self.attempt, release, goods, lease, wait, confirm=wish.confirm, patience=patience
        )

    def tell(self, fleet_of: Callable[[Connections], Fleet], policy: Policy) -> int:
        """Ask the hosts what there is to do, drive them, and return the exit status."""
        app, names = self._found[0].deployment.app, tuple(target.name for target in self._found)
        self._emit(RunBegan(self.attempt.what, app, names))
        # Until the rollout begins, nothing on any host is different from what it was.
        fleet = Fleet({}, {name: Transition(Phase.READY) for name in names})
        try:
            with connect_all(self._found, self._run, self._emit) as hosts:
                fleet = fleet_of(hosts)
                executor.drive(fleet, policy, hosts.executor, self._emit)
        except KeyboardInterrupt:
            fleet.interrupted = True
        results = fleet.results()
        status = executor.exit_status(results, interrupted=fleet.interrupted)
        seconds, advice = time.monotonic() - self._began, _advice(status, results)
        self._emit(RunEnded(self.attempt.what, app, status, results, seconds, advice))
        return status


def _advice(status: int, results: Mapping[str, HostResult]) -> str:
    """Return the command to run next; a host that was lost after its switch is told of first."""
    if any(result.outcome is Outcome.UNKNOWN for result in results.values()):
        return FOLLOW
    return ADVICE.get(status, "")


def until_one_fails(what: str, runs: Sequence[tuple[str, Callable[[], int]]], emit: Emit) -> int:
    """Run one deployment after the other, and tell of all of them where there are several.

    Args:
        what: deploy, rollback or attach.
        runs: the app of each, and what returns its exit status.
        emit: is told the end.

    Returns:
        The exit status of the first that failed, or 0.
    """
    statuses: list[int | None] = [None] * len(runs)
    try:
        for number, (_, act) in enumerate(runs):
            statuses[number] = BROKEN_OFF
            statuses[number] = status = act()
            if status:
                return status
    except ShipitError as error:
        statuses = [error.exit_status if it == BROKEN_OFF else it for it in statuses]
        raise
    finally:
        if len(runs) > 1:
            ends = [DeploymentEnd(app, it) for (app, _), it in zip(runs, statuses, strict=True)]
            failed = next((end.exit_status for end in ends if end.exit_status), 0)
            emit(PlaybookEnded(what, failed, tuple(ends)))
    return 0

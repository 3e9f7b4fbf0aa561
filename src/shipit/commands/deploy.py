"""The use cases deploy and rollback, step by step as in the README.

All input is checked before any host is queried; every host is queried before any is staged; every
host is staged before any is switched; and no host is committed before all have passed their gates.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from shipit.agent.protocol.controls import CANARY
from shipit.agent.protocol.migrations import PAST
from shipit.commands import advice
from shipit.errors import ShipitError
from shipit.events import (
    DeploymentEnd,
    Noted,
    PlaybookEnded,
    RunBegan,
    RunEnded,
    SecretsKnown,
)
from shipit.release import freeze, saved_plan
from shipit.release.inputs import secrets_at_hand, targets
from shipit.release.plan import Action
from shipit.rollout import executor, hooks, migrations, rollback_target, verdict
from shipit.rollout.assignment import Assignment, Job
from shipit.rollout.canary import choice, settings
from shipit.rollout.connections import connect_all
from shipit.rollout.executor import Fleet
from shipit.rollout.host_session import SWITCH, WORK
from shipit.rollout.logins import logging_in
from shipit.rollout.phase import Phase, Transition
from shipit.rollout.prepare import (
    ask,
    attempt_to,
    prepare,
    refuse_changed,
    refuse_held,
    refuse_unsigned,
    running,
    wanted_by,
)
from shipit.rollout.strategy import Policy
from shipit.secrets import Mask

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from shipit.events import Emit
    from shipit.playbook.models import Deployment
    from shipit.release.build import BuiltRelease
    from shipit.release.inputs import HostInput, ResolvedInput, RunOptions
    from shipit.release.plan import HostPlan
    from shipit.rollout.connections import Connections
    from shipit.rollout.logins import Logins
    from shipit.rollout.rollback_target import Candidates

    Made = Mapping[str, tuple[BuiltRelease, HostPlan]]

HOLD, FREEZE = "hold", "freeze"  # what a deploy may override, as histories name it
ABORTED = 1  # the exit status of a bug
AT_ONCE = Policy()  # a rollback switches all hosts in one batch


# --- deploy ------------------------------------------------------------------------------------


def deploy(run: RunOptions, emit: Emit, plan_file: Path | None = None) -> int:
    """Deploy every deployment of the playbook in order; stop at the first that fails.

    Returns:
        The exit status.

    Raises:
        InputError: the input is wrong, or frozen, or not what was planned; no host was changed.
    """
    plan, began = saved_plan.read(plan_file) if plan_file else None, datetime.now(UTC)
    with logging_in(run, emit) as logins:

        def check(found: Sequence[Sequence[HostInput]]) -> None:
            if plan is not None:
                names = [[target.name for target in each] for each in found]
                apps = [each[0].deployment.app for each in found]
                saved_plan.refuse_others(plan, list(zip(apps, names, strict=True)))
            if not run.override_freeze:
                freeze.refuse(found, began)
            logins.begin(found)

        wanted = wanted_by(run, emit, check)
        plans = [None] * len(wanted) if plan is None else [each.hosts for each in plan]
        runs = [
            (each[0].deployment.app, partial(ship, each, run, emit, planned, logins, began))
            for each, planned in zip(wanted, plans, strict=True)
        ]
        return until_one_fails("deploy", runs, emit)


def ship(
    wanted: Sequence[ResolvedInput],
    run: RunOptions,
    emit: Emit,
    planned: Mapping[str, Mapping[str, Any]] | None = None,
    logins: Logins | None = None,
    began: datetime | None = None,
) -> int:
    """Deploy one deployment to its hosts, as planned if there is a plan.

    `began` is when the command did: what was frozen then is on record as overridden.

    Returns:
        The exit status.
    """
    rollout, deployment = Run("deploy", wanted, run, emit, logins), wanted[0].deployment
    if run.override_freeze and began and freeze.notes(wanted, began):
        rollout.override(FREEZE)
    others = migrations.left_out(wanted, run, emit)

    def fleet(connections: Connections) -> Fleet:
        made: Made = prepare(wanted, connections, rollout.attempt, allow_older=run.allow_older)
        if planned is not None:
            made = migrations.with_commands(made, wanted, others)
            made = refuse_changed(made, connections, planned)
        if run.override_hold and any(plan.holds for _, plan in made.values()):
            rollout.override(HOLD)
        elif not run.override_hold:
            made = refuse_held(made, connections)
        made = refuse_unsigned(made, connections)
        if run.force_past_migration and migrations.past_by_older(migrations.plans(made) | others):
            rollout.override(PAST)
        made = migrations.refuse(made, connections, others, run)
        chosen, canaries = hooks.elected(made, wanted), choice.canaries(made, wanted)
        options = migrations.options(made, others, again=run.migrate_again)
        known = {name: (*options, CANARY) if name in canaries else options for name in made}
        found = rollout.fleet(
            connections,
            {
                name: elect(rollout.job(plan.release, built), known[name], elected=name == chosen)
                for name, (built, plan) in made.items()
            },
            {name: _before(plan) for name, (_, plan) in made.items()},
        )
        if chosen:
            emit(Noted("what runs once in this deploy runs here", chosen))
        own = rollout.own_hooks(_plans(made))
        if deployment.canary and not canaries:
            emit(Noted(choice.NONE))
        return replace(
            found,
            elected=chosen,
            hooks=own,
            canaries=canaries,
            hold=settings.hold(wanted, rollout.attempt.who, own.environment, run),
        )

    return rollout.execute(fleet, _policy(deployment))


def elect(job: Job, options: tuple[str, ...], *, elected: bool) -> Job:
    """Return a host's job with what its transaction must know besides the release."""
    return replace(job, attempt=replace(job.attempt, elected=elected, options=options))


def _policy(deployment: Deployment) -> Policy:
    return Policy(
        deployment.serial,
        deployment.max_fail_percentage,
        deployment.max_failures,
        deployment.max_unreachable,
        first_alone=hooks.first_alone(deployment),
    )


def _plans(made: Made) -> dict[str, str]:
    """Return the release of each host that changes."""
    changing = {name: plan for name, (_, plan) in made.items() if plan.action is not Action.NOTHING}
    return {name: plan.release for name, plan in changing.items()}


def _before(plan: HostPlan) -> Transition:
    is_idle = plan.action is Action.NOTHING
    return Transition(Phase.UNCHANGED if is_idle else Phase.READY, plan.current)


# --- rollback ----------------------------------------------------------------------------------


def rollback(run: RunOptions, emit: Emit, to: str | None = None) -> int:
    """Roll all hosts back to the last good release that they had in common, or to a named one.

    All hosts are switched at once, or behind a load balancer in the batches of `serial`, to a
    release that they still have: nothing is sent. The deployments of a playbook are rolled back in
    reverse order.
    """
    runs = [
        (found[0].deployment.app, partial(_roll_back, found, run, emit, to))
        for found in reversed(targets(run))
    ]
    return until_one_fails("rollback", runs, emit)


def _roll_back(found: Sequence[HostInput], run: RunOptions, emit: Emit, to: str | None) -> int:
    rollout = Run("rollback", found, run, emit)
    emit(SecretsKnown(Mask(secrets_at_hand(found, run_commands=False))))

    def fleet_of(connections: Connections) -> Fleet:
        answers = ask(found, connections, recover=True)
        known: dict[str, Candidates] = {}
        for name, facts in answers.items():
            with connections.holding(name, running(facts)):
                known[name] = rollback_target.candidates(facts)
        choice = rollback_target.choose(known, to)
        if choice.note:
            emit(Noted(choice.note))
        goals = {name: choice.goals[name] for name in known if name in choice.goals}
        past, forced = migrations.past(goals, answers), run.force_past_migration
        if past and forced:
            rollout.override(PAST)
            emit(Noted(f"goes past an irreversible migration, as forced: {past}"))
        jobs: dict[str, Job] = {}
        before: dict[str, Transition] = {}
        for name in known:
            facts = answers[name]
            with connections.holding(name, running(facts)):
                goal = choice.of(name)
                if past and not forced:
                    raise migrations.refused_past(name, past)
                phase = Phase.UNCHANGED if goal.running and not facts.stuck else Phase.READY
                before[name] = Transition(phase, running(facts))
                # The agent checks that this is still the last release: another run may be ending.
                last = next((line.id for line in facts.releases if line.running), "")
                jobs[name] = replace(rollout.job(goal.id), before=last if to is None else None)
        changing = [name for name, state in before.items() if state.phase is Phase.READY]
        going = {name: jobs[name].release for name in changing}
        for name in changing:  # the release that it leaves may have hooks that run once
            jobs[name] = elect(jobs[name], (), elected=name == changing[0])
        fleet = rollout.fleet(connections, jobs, before)
        return replace(fleet, hooks=rollout.own_hooks(going))

    return rollout.execute(fleet_of, _rollback_policy(found[0].deployment))


def _rollback_policy(deployment: Deployment) -> Policy:
    """Return how a rollback proceeds: at once, unless that would drain all hosts at once."""
    return replace(AT_ONCE, batches=deployment.serial) if deployment.load_balancer else AT_ONCE


# --- running -----------------------------------------------------------------------------------


class Run:
    """A run, with events from its beginning to its end, also where it is interrupted."""

    def __init__(
        self,
        what: str,
        found: Sequence[HostInput],
        run: RunOptions,
        emit: Emit,
        logins: Logins | None = None,
    ) -> None:
        self.attempt = attempt_to(what, run)
        self._found, self._run, self._emit, self._logins = found, run, emit, logins
        self._began = time.monotonic()
        self._releases: Mapping[str, str] = {}  # that are deployed, by host

    def fleet(
        self, connections: Connections, jobs: Mapping[str, Job], before: Mapping[str, Transition]
    ) -> Fleet:
        """Return the hosts with a job, and the states of all hosts before it."""
        states = {**before, **connections.lost}
        if self.attempt.what == "deploy":
            self._releases = {name: job.release for name, job in jobs.items()}
        return Fleet(
            {name: Assignment(connections.sessions[name], job) for name, job in jobs.items()},
            {target.name: states[target.name] for target in self._found},
        )

    def override(self, what: str) -> None:
        """Let the history have what this run was allowed to override."""
        self.attempt = replace(self.attempt, overrides=(*self.attempt.overrides, what))

    def own_hooks(self, releases: Mapping[str, str]) -> hooks.ControllerHooks:
        """Return the hooks that run here; `releases` by host, of those that change."""
        target, attempt = self._found[0], self.attempt
        variables = {
            "APP": target.deployment.app,
            "RELEASE": next(iter(releases.values()), ""),
            "HOSTS": " ".join(releases),
            "WHO": attempt.who,
            "REASON": attempt.reason,
        }
        return hooks.ControllerHooks(
            target.deployment.hooks if releases else (),
            target.draft.folder,
            hooks.environment(self._found, variables),
            self._emit,
            is_rollback=attempt.what == "rollback",
        )

    def job(self, release: str, built: BuiltRelease | None = None) -> Job:
        deployment = self._found[0].deployment
        lease, wait = deployment.confirm_timeout, self._run.lock_wait
        stops = sum(service.stop_timeout for service in deployment.services.values())
        # Twice: the switch and its rollback. SWITCH covers other times of an older release.
        hooked = hooks.longest(deployment)
        patience = SWITCH + 2 * (deployment.health.deadline + deployment.health.bake + stops)
        return Job(
            self.attempt,
            release,
            built,
            lease,
            wait,
            confirm=deployment.confirm,
            patience=patience + hooked,
            staging=WORK + hooked,
        )

    def execute(self, fleet_of: Callable[[Connections], Fleet], policy: Policy) -> int:
        """Query the hosts, drive the rollout, and return the exit status."""
        app, names = self._found[0].deployment.app, tuple(target.name for target in self._found)
        self._emit(RunBegan(self.attempt.what, app, names))
        # Until the rollout begins, no host is changed.
        fleet = Fleet({}, {name: Transition(Phase.READY) for name in names})
        try:
            with connect_all(self._found, self._run, self._emit, self._logins) as connections:
                fleet = fleet_of(connections)
                policy = replace(policy, elected=fleet.elected, canaries=fleet.canaries)
                executor.drive(fleet, policy, connections.executor, self._emit)
                said = verdict.controls(fleet.results(), self._releases, self.attempt)
                verdict.agree(said, connections)
        except KeyboardInterrupt:
            fleet.interrupted = True
        results = fleet.results()
        status = executor.exit_status(results, interrupted=fleet.interrupted)
        what_next = advice.after(status, fleet, self._found[0].deployment)
        seconds, mixed = time.monotonic() - self._began, fleet.mixed.seconds
        self._emit(RunEnded(self.attempt.what, app, status, results, seconds, what_next, mixed))
        return status


def until_one_fails(what: str, runs: Sequence[tuple[str, Callable[[], int]]], emit: Emit) -> int:
    """Run deployments one after another; where there are several, report how they all ended.

    Args:
        what: deploy, rollback or attach.
        runs: for each, its app and a function that runs it and returns its exit status.
        emit: receives the final event.

    Returns:
        The exit status of the first that failed, or 0.
    """
    statuses: list[int | None] = [None] * len(runs)
    try:
        for number, (_, act) in enumerate(runs):
            statuses[number] = ABORTED
            statuses[number] = status = act()
            if status:
                return status
    except ShipitError as error:
        statuses = [error.exit_status if it == ABORTED else it for it in statuses]
        raise
    finally:
        if len(runs) > 1:
            ends = [DeploymentEnd(app, it) for (app, _), it in zip(runs, statuses, strict=True)]
            failed = next((end.exit_status for end in ends if end.exit_status), 0)
            emit(PlaybookEnded(what, failed, tuple(ends)))
    return 0

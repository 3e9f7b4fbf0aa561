"""What the hosts' records of migrations mean for a deploy or a rollback, and for a plan of one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from shipit.agent.protocol.migrations import AGAIN, KNOWN, is_applied, passed, unfinished
from shipit.bundle.wheel import is_older
from shipit.errors import HostError, InputError
from shipit.events import Noted, SecretsKnown
from shipit.release.inputs import targets
from shipit.release.plan import Action, HostPlan
from shipit.release.saved_plan import PENDING
from shipit.rollout import hooks
from shipit.rollout.canary.decision import one_line
from shipit.rollout.connections import connect_all
from shipit.rollout.phase import problem_of
from shipit.rollout.prepare import ask

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from shipit.agent.protocol.answers import ReleaseLine
    from shipit.agent.protocol.messages import Facts, Findings
    from shipit.agent.protocol.migrations import MigrationLine
    from shipit.events import Emit, Event
    from shipit.playbook.hooks.models import Migrate
    from shipit.release.build import BuiltRelease
    from shipit.release.inputs import HostInput, RunOptions
    from shipit.rollout.connections import Connections
    from shipit.rollout.hooks import Made

    Plans = dict[str, tuple[BuiltRelease, HostPlan]]

STEP = "migrate"


# --- hosts that --limit leaves out -------------------------------------------------------------


def left_out(found: Sequence[HostInput], run: RunOptions, emit: Emit) -> dict[str, HostPlan]:
    """Ask the app's hosts that --limit leaves out what they have on record; change nothing there.

    A migration runs once for all of them. One that gives no answer is noted: nobody else knows what
    it has done, and `--limit` may be there because it is gone.
    """
    app, names = found[0].deployment.app, {target.name for target in found}
    if not run.limit or found[0].deployment.migrate is None:
        return {}
    try:
        everyone = targets(replace(run, limit=None))
    except InputError as error:
        emit(Noted(_UNASKED.format("the hosts that --limit leaves out", error.mistakes[0].what)))
        return {}
    others = [t for each in everyone for t in each if t.deployment.app == app]
    others = [target for target in others if target.name not in names]
    if others:  # one that is gone may take as long as a connection may
        emit(Noted(f"asks {', '.join(t.name for t in others)} about migrations; changes nothing"))

    def quietly(event: Event) -> None:
        if isinstance(event, SecretsKnown):  # these hosts take no part in the run
            emit(event)

    with connect_all(others, run, quietly) as connections:
        answers = ask(others, connections, recover=False)
        for name, problem in connections.problems().items():
            emit(
                Noted(_UNASKED.format(f"{name}, which --limit leaves out,", one_line(problem.what)))
            )
    return {name: _idle(name, facts) for name, facts in answers.items()}


_UNASKED = "{} may have run the migration of this release: no answer ({})"


def _idle(name: str, facts: Facts) -> HostPlan:
    running = facts.holder.attempt.txn if facts.holder else ""
    return HostPlan(name, Action.NOTHING, "", "", migrated=facts.migrations, running=running)


# --- deploy ------------------------------------------------------------------------------------


def refusal(plans: Mapping[str, HostPlan], run: RunOptions) -> HostError | None:
    """Return why no host may be changed, unless an operator has decided about it."""
    stopped = _unfinished(plans, again=run.migrate_again)
    if stopped or run.force_past_migration or not (found := past_by_older(plans)):
        return stopped
    host = next(iter(plans))
    return _past(host, f"an older version goes past an irreversible migration: {found}")


def _unfinished(plans: Mapping[str, HostPlan], *, again: bool) -> HostError | None:
    """Return why a migration stops all: it runs, or its end is unknown and not decided about."""
    for host, plan in plans.items():
        if line := unfinished(plan.migrated):
            begun = f"the migration of {line.release}, begun {line.at} by {line.who or '?'},"
            if line.txn and line.txn == plan.running:
                what = f"{begun} is still running on {host}"
                hint = "wait until that deploy has ended, then run the command again"
                return HostError("locked", what, host=host, step=STEP, hint=hint)
            if again:
                continue
            return HostError(
                "migration-unfinished",
                f"{begun} has not ended on {host}: what it has done is unknown",
                host=host,
                step=STEP,
                hint="find out what it has done; then deploy with --migrate-again: the migration"
                " of the release is run (docs/migrations.md)",
            )
    return None


def past_by_older(plans: Mapping[str, HostPlan]) -> str:
    """Return the irreversible migrations of versions newer than what is deployed; "" for none.

    A version that does not count up says nothing about which of two came first.
    """
    wanted = [plan for plan in plans.values() if plan.action is not Action.NOTHING]
    lines = [line for plan in plans.values() for line in plan.migrated]
    return _named(
        line
        for plan in wanted
        for line in passed(lines, plan.release, "")
        if is_older(plan.version, than=line.version)
    )


def refuse(
    made: Made, connections: Connections, others: Mapping[str, HostPlan], run: RunOptions
) -> Plans:
    """Return the releases that may be deployed: only those that change nothing after a refusal."""
    error = refusal({**plans(made), **others}, run)
    if error is None:
        return dict(made)
    changing = [name for name, (_, plan) in made.items() if plan.action is not Action.NOTHING]
    for name in changing:
        own = HostError(error.code, error.what, host=name, step=STEP, hint=error.hint)
        connections.lose(name, own, made[name][1].current)
    return {name: each for name, each in made.items() if name not in changing}


def options(made: Made, others: Mapping[str, HostPlan], *, again: bool) -> tuple[str, ...]:
    """Return what the elected host must know: whether to run it again, or that it was applied."""
    if again:
        return (AGAIN,)
    return (KNOWN,) if applied_by({**plans(made), **others}) else ()


def plans(made: Made) -> dict[str, HostPlan]:
    """Return the plans of what was made, by host."""
    return {name: plan for name, (_, plan) in made.items()}


def applied_by(plans: Mapping[str, HostPlan]) -> str:
    """Return a host that has applied the migration of what is deployed; "" for none.

    Ids may differ between hosts: the one that has migrated knows it by its own.
    """
    wanted = {plan.release for plan in plans.values() if plan.release}
    return next(
        (host for host, plan in plans.items() if any(is_applied(plan.migrated, r) for r in wanted)),
        "",
    )


# --- plan --------------------------------------------------------------------------------------


def planned(
    made: Made, order: Sequence[HostInput], chosen: str, others: Mapping[str, HostPlan]
) -> Plans:
    """Return the releases with plans that say what the deploy would migrate."""
    deployment = order[0].deployment
    if (wanted := deployment.migrate) is None:
        return dict(made)
    done = applied_by({**plans(made), **others})
    lines = (_run(wanted, chosen, deployment.user, done), *_remarks(wanted))
    return {
        name: (built, replace(plan, migration=() if plan.action is Action.NOTHING else lines))
        for name, (built, plan) in made.items()
    }


def with_commands(made: Made, order: Sequence[HostInput], others: Mapping[str, HostPlan]) -> Plans:
    """Return the releases with plans that name all commands: the hooks and the migration."""
    return planned(hooks.planned(made, order), order, hooks.elected(made, order), others)


def _run(wanted: Migrate, chosen: str, user: str, done: str) -> str:
    if done:
        return f"nothing: {done} has applied the migration of this release before"
    return f"{wanted.command} (once, on {chosen} as {user}, before the first switch)"


def _remarks(wanted: Migrate) -> tuple[str, ...]:
    if wanted.reversible:
        return ()
    return ("IRREVERSIBLE: a rollback past this release will be refused",)


def explained(
    plans: Mapping[str, HostPlan],
    others: Mapping[str, HostPlan],
    wanted: Migrate | None,
    found: Findings | None,
    run: RunOptions,
) -> dict[str, HostPlan]:
    """Return the plans with what stops them, and what the elected host says would be done."""
    error = refusal({**plans, **others}, run)
    made = {host: _pending(plan, wanted, found) for host, plan in plans.items()}
    for host, plan in made.items():
        if error and plan.action is not Action.NOTHING:
            problems = (*plan.problems, problem_of(error, host))
            made[host] = replace(plan, problems=problems)
    return made


def _pending(plan: HostPlan, wanted: Migrate | None, found: Findings | None) -> HostPlan:
    if wanted is None or not wanted.pending or not plan.migration:
        return plan
    said = found.pending if found else None
    if said is None:
        what = f"{PENDING}unknown until the release is on the host; the deploy shows it first"
        return replace(plan, migration=(*plan.migration, what))
    lines = tuple(PENDING + line for line in said.splitlines()) or (f"{PENDING}(no output)",)
    return replace(plan, migration=(*plan.migration, *lines))


# --- rollback ----------------------------------------------------------------------------------


def past(goals: Mapping[str, ReleaseLine], answers: Mapping[str, Facts]) -> str:
    """Return which irreversible migrations a rollback would go past, as a clause; "" for none."""
    return _named(
        line
        for host, goal in goals.items()
        for line in passed(answers[host].migrations, goal.id, goal.at)
        if not goal.running
    )


def refused_past(host: str, found: str) -> HostError:
    return _past(host, f"the rollback goes past an irreversible migration: {found}")


def _named(lines: Iterable[MigrationLine]) -> str:
    found = {line.release: f"{line.release} (migrated {line.at})" for line in lines}
    return ", ".join(found.values())


def _past(host: str, what: str) -> HostError:
    hint = "deploy a release that fits the data; or, if the older one runs with it:"
    hint += " --force-past-migration"
    return HostError("migration-irreversible", what, host=host, step=STEP, hint=hint)

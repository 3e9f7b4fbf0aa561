"""What the hosts' records of migrations mean for a deploy or a rollback, and for a plan of one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from shipit.agent.protocol.migrations import AGAIN, KNOWN, is_applied, passed, unfinished
from shipit.errors import HostError
from shipit.release.plan import Action
from shipit.release.saved_plan import PENDING
from shipit.rollout import hooks
from shipit.rollout.phase import problem_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shipit.agent.protocol.answers import ReleaseLine
    from shipit.agent.protocol.messages import Facts, Findings
    from shipit.playbook.hooks.models import Migrate
    from shipit.release.build import BuiltRelease
    from shipit.release.inputs import HostInput
    from shipit.release.plan import HostPlan
    from shipit.rollout.connections import Connections
    from shipit.rollout.hooks import Made

    Plans = dict[str, tuple[BuiltRelease, HostPlan]]

STEP = "migrate"


# --- deploy ------------------------------------------------------------------------------------


def refusal(plans: Mapping[str, HostPlan], *, again: bool) -> HostError | None:
    """Return why no host may be changed: a migration of one of them runs, or has not ended.

    `again`: an operator has decided about one that has not ended; one that runs is waited for.
    """
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


def refuse_unfinished(made: Made, connections: Connections, *, again: bool) -> Plans:
    """Return the releases that may be deployed: only those that change nothing after a refusal."""
    error = refusal({name: plan for name, (_, plan) in made.items()}, again=again)
    if error is None:
        return dict(made)
    changing = [name for name, (_, plan) in made.items() if plan.action is not Action.NOTHING]
    for name in changing:
        own = HostError(error.code, error.what, host=name, step=STEP, hint=error.hint)
        connections.lose(name, own, made[name][1].current)
    return {name: each for name, each in made.items() if name not in changing}


def options(made: Made, *, again: bool) -> tuple[str, ...]:
    """Return what the elected host must know: whether to run it again, or that it was applied."""
    if again:
        return (AGAIN,)
    return (KNOWN,) if applied_by({name: plan for name, (_, plan) in made.items()}) else ()


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


def planned(made: Made, order: Sequence[HostInput], chosen: str) -> Plans:
    """Return the releases with plans that say what the deploy would migrate."""
    deployment = order[0].deployment
    if (wanted := deployment.migrate) is None:
        return dict(made)
    done = applied_by({name: plan for name, (_, plan) in made.items()})
    lines = (_run(wanted, chosen, deployment.user, done), *_remarks(wanted))
    return {
        name: (built, replace(plan, migration=() if plan.action is Action.NOTHING else lines))
        for name, (built, plan) in made.items()
    }


def with_commands(made: Made, order: Sequence[HostInput]) -> Plans:
    """Return the releases with plans that name all commands: the hooks and the migration."""
    return planned(hooks.planned(made, order), order, hooks.elected(made, order))


def _run(wanted: Migrate, chosen: str, user: str, done: str) -> str:
    if done:
        return f"nothing: {done} has applied the migration of this release before"
    return f"{wanted.command} (once, on {chosen} as {user}, before the first switch)"


def _remarks(wanted: Migrate) -> tuple[str, ...]:
    if wanted.reversible:
        return ()
    return ("IRREVERSIBLE: a rollback past this release will be refused",)


def explained(
    plans: Mapping[str, HostPlan], wanted: Migrate | None, found: Findings | None, *, again: bool
) -> dict[str, HostPlan]:
    """Return the plans with what stops them, and what the elected host says would be done."""
    error = refusal(plans, again=again)
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
    found = {
        line.release: f"{line.release} (migrated {line.at})"
        for host, goal in goals.items()
        for line in passed(answers[host].migrations, goal.id, goal.at)
        if not goal.running
    }
    return ", ".join(found.values())


def refused_past(host: str, found: str) -> HostError:
    return HostError(
        "migration-irreversible",
        f"the rollback goes past an irreversible migration: {found}",
        host=host,
        step=STEP,
        hint="deploy a release that fits the data; or, if the older one runs with it:"
        " --force-past-migration",
    )

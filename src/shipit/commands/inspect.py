"""The use cases that only read: plan, status, releases, logs. They change no host."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from shipit.agent.protocol import messages
from shipit.errors import HostError
from shipit.events import Noted, Problem, SecretsKnown
from shipit.release import freeze, saved_plan
from shipit.release import plan as planning
from shipit.release.inputs import HostInput, ResolvedInput, RunOptions, secrets_at_hand, targets
from shipit.release.plan import Action, HostPlan
from shipit.rollout import hooks, migrations
from shipit.rollout.canary import choice
from shipit.rollout.connections import connect_all
from shipit.rollout.host_session import RefusedError
from shipit.rollout.logins import logging_in
from shipit.rollout.phase import problem_of
from shipit.rollout.prepare import (
    ask,
    attempt_to,
    prepare,
    refuse_if_held,
    surveyed,
    wanted_by,
)
from shipit.secrets import Mask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from shipit.events import Emit
    from shipit.rollout.host_session import HostSession
    from shipit.rollout.logins import Logins

T = TypeVar("T")


def plan(
    run: RunOptions, emit: Emit, out: Path | None = None
) -> list[tuple[str, tuple[HostPlan, ...]]]:
    """Return what a deploy would do on each host of each deployment; nothing is changed.

    `out` is a file for the plan; it is written if no host has a problem.

    Raises:
        InputError: the input is wrong.
    """
    with logging_in(run, emit) as logins:
        found = [
            (each[0].deployment.app, _plans(each, run, emit, logins))
            for each in wanted_by(run, emit, logins.begin)
        ]
    if out and any(each.problems for _, plans in found for each in plans):
        emit(Noted(f"{out} is not written: fix the problems first"))
    elif out:
        saved_plan.write(out, found, datetime.now(UTC).isoformat(timespec="seconds"))
        emit(Noted(f"written to {out}: shipit deploy {run.playbook} --plan {out}"))
    return found


def _plans(
    wanted: Sequence[ResolvedInput], run: RunOptions, emit: Emit, logins: Logins
) -> tuple[HostPlan, ...]:
    others = migrations.left_out(wanted, run, emit)
    with connect_all(wanted, run, emit, logins) as connections:
        attempt = attempt_to("plan", run)
        made = prepare(wanted, connections, attempt, recover=False, allow_older=True)
        chosen, migrate = hooks.elected(made, wanted), wanted[0].deployment.migrate
        made = choice.planned(migrations.with_commands(made, wanted, others), wanted)
        found = surveyed(made, connections, chosen)
        plans = {
            name: replace(plan, problems=(*_problems(name, findings), *_refusals(plan, run)))
            for name, findings in found.items()
            for _, plan in [made[name]]
        }
        if not run.override_freeze:
            frozen = freeze.notes(wanted, datetime.now(UTC))
            plans = {n: replace(plan, notes=(*frozen, *plan.notes)) for n, plan in plans.items()}
        asked = found.get(chosen)
        plans = migrations.explained(plans, others, migrate, asked, run)
        for name, problem in connections.problems().items():
            plans.setdefault(name, HostPlan(name, Action.NOTHING, "", "", problems=(problem,)))
    return tuple(plans[resolved.name] for resolved in wanted)


def _problems(name: str, findings: messages.Findings) -> tuple[Problem, ...]:
    return tuple(problem_of(RefusedError(name, found), name) for found in findings.problems)


def _refusals(plan: HostPlan, run: RunOptions) -> Iterator[Problem]:
    """Yield why a deploy would refuse this plan: an older release, or a held one."""
    refusals = {planning.refuse_if_older: run.allow_older}
    refusals[refuse_if_held] = run.override_hold
    for refuse, is_allowed in refusals.items():
        try:
            if not is_allowed:
                refuse(plan)
        except HostError as error:
            yield problem_of(error, plan.host)


def status(run: RunOptions, emit: Emit) -> list[tuple[str, dict[str, messages.Status | Problem]]]:
    """Return what runs on each host, and how it differs from its manifest."""
    return query(run, emit, lambda _, session: session.status(messages.AskStatus()))


def releases(
    run: RunOptions, emit: Emit
) -> list[tuple[str, dict[str, messages.History | Problem]]]:
    """Return each host's releases, the newest first."""
    return query(run, emit, lambda _, session: session.history())


def query(
    run: RunOptions,
    emit: Emit,
    question: Callable[[HostInput, HostSession], T],
    *,
    recover: bool = False,
) -> list[tuple[str, dict[str, T | Problem]]]:
    """Send one query to every host of every deployment.

    Args:
        run: the options of the command.
        emit: receives the events of the connections.
        question: asks one host.
        recover: first finish what a crash has left open there.
    """

    def answers(found: Sequence[HostInput]) -> dict[str, T | Problem]:
        by_name = {target.name: target for target in found}
        with connect_all(found, run, emit) as connections:
            ask(found, connections, recover=recover)
            answered = connections.each(lambda name, session: question(by_name[name], session))
            results: dict[str, T | Problem] = {**answered, **connections.problems()}
        return {name: results[name] for name in by_name}

    return [(found[0].deployment.app, answers(found)) for found in targets(run)]


def logs(
    run: RunOptions,
    emit: Emit,
    write: Callable[[str, str], None],
    *,
    lines: int,
    follow: bool,
    service: str = "",
) -> int:
    """Pass the journal of the app's units to `write(host, text)`; `follow` lasts until Ctrl-C.

    Includes the units of trials and of failed releases.
    """
    found = [target for each in targets(run) for target in each]
    emit(SecretsKnown(Mask(secrets_at_hand(found, run_commands=True))))

    def stream(target: HostInput, session: HostSession) -> None:
        ask = messages.AskLogs(lines, follow, service, tuple(target.deployment.services))
        session.logs(ask, partial(write, target.name))

    answers = (answer for _, hosts in query(run, emit, stream) for answer in hosts.values())
    return 3 if any(isinstance(answer, Problem) for answer in answers) else 0

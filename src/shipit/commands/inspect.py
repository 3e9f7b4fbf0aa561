"""The use cases that only look: plan, status, releases, logs. No host is changed by them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from shipit.agent.protocol import messages
from shipit.errors import HostError
from shipit.events import Problem, SecretsKnown
from shipit.release import plan as planning
from shipit.release.inputs import HostInput, ResolvedInput, RunOptions, secrets_at_hand, targets
from shipit.release.plan import Action, HostPlan
from shipit.rollout.connections import connect_all
from shipit.rollout.host_session import RefusedError
from shipit.rollout.phase import problem_of
from shipit.rollout.prepare import ask, attempt_to, prepare, surveyed, wanted_by
from shipit.secrets import Mask

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from shipit.events import Emit
    from shipit.rollout.host_session import HostSession

T = TypeVar("T")


def plan(run: RunOptions, emit: Emit) -> list[tuple[str, tuple[HostPlan, ...]]]:
    """Return what a deploy would do on each host of each deployment; nothing is touched.

    Raises:
        InputError: something a person wrote is wrong.
    """
    wanted = wanted_by(run, emit)
    return [(_app(each), _plans(each, run, emit)) for each in wanted]


def _app(wanted: Sequence[ResolvedInput]) -> str:
    return wanted[0].target.deployment.app


def _plans(wanted: Sequence[ResolvedInput], run: RunOptions, emit: Emit) -> tuple[HostPlan, ...]:
    found = [wish.target for wish in wanted]
    with connect_all(found, run, emit) as hosts:
        made = prepare(wanted, hosts, attempt_to("plan", run), recover=False, allow_older=True)
        findings = surveyed(made, hosts)
        lost = {name: moved.problem for name, moved in hosts.lost.items()}
    plans = {
        name: replace(
            made[name][1], problems=(*_problems(name, answer), *_of_order(made[name][1], run))
        )
        for name, answer in findings.items()
    }
    return tuple(plans.get(t.name) or _no_plan(t.name, lost[t.name]) for t in found)


def _problems(name: str, findings: messages.Findings) -> tuple[Problem, ...]:
    return tuple(problem_of(RefusedError(name, found), name) for found in findings.problems)


def _of_order(plan: HostPlan, run: RunOptions) -> tuple[Problem, ...]:
    """Return why a deploy would be refused where it is older; the plan is shown all the same."""
    try:
        if not run.allow_older:
            planning.refuse_if_older(plan)
    except HostError as error:
        return (problem_of(error, plan.host),)
    return ()


def _no_plan(name: str, problem: Problem | None) -> HostPlan:
    return HostPlan(name, Action.NOTHING, "", "", problems=(problem,) if problem else ())


def status(run: RunOptions, emit: Emit) -> list[tuple[str, dict[str, messages.Status | Problem]]]:
    """Return what runs on each host, and whether it is what its manifest says."""
    return _look(run, emit, lambda _, session: session.status(messages.AskStatus()))


def releases(
    run: RunOptions, emit: Emit
) -> list[tuple[str, dict[str, messages.History | Problem]]]:
    """Return each host's releases, the newest first."""
    return _look(run, emit, lambda _, session: session.history())


def _look(
    run: RunOptions, emit: Emit, question: Callable[[HostInput, HostSession], T]
) -> list[tuple[str, dict[str, T | Problem]]]:
    """Ask every host of every deployment one question, and change nothing."""
    answers: list[tuple[str, dict[str, T | Problem]]] = []
    for found in targets(run):
        with connect_all(found, run, emit) as hosts:
            ask(found, hosts, recover=False)
            answered = hosts.each(partial(_put, question, {t.name: t for t in found}))
            lost = {name: moved.problem for name, moved in hosts.lost.items() if moved.problem}
        told: dict[str, T | Problem] = {**answered, **lost}
        answers.append((found[0].deployment.app, {t.name: told[t.name] for t in found}))
    return answers


def _put(
    question: Callable[[HostInput, HostSession], T],
    of: Mapping[str, HostInput],
    name: str,
    session: HostSession,
) -> T:
    return question(of[name], session)


def logs(
    run: RunOptions,
    emit: Emit,
    write: Callable[[str, str], None],
    *,
    lines: int,
    follow: bool,
    service: str = "",
) -> int:
    """Hand the journal of the app's units to `write(host, text)`, following it until Ctrl-C.

    Also of those of a trial, and of releases that failed.
    """
    found = [target for each in targets(run) for target in each]
    emit(SecretsKnown(Mask(secrets_at_hand(found, run_commands=True))))

    def told(target: HostInput, session: HostSession) -> None:
        ask = messages.AskLogs(lines, follow, service, tuple(target.deployment.services))
        session.logs(ask, partial(write, target.name))

    answers = _look(run, emit, told)
    failed = [one for _, hosts in answers for one in hosts.values() if isinstance(one, Problem)]
    return 3 if failed else 0

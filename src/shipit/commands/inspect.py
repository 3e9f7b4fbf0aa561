"""The use cases that only read: plan, status, releases, logs. They change no host."""

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
    """Return what a deploy would do on each host of each deployment; nothing is changed.

    Raises:
        InputError: the input is wrong.
    """
    wanted = wanted_by(run, emit)
    return [(_app(each), _plans(each, run, emit)) for each in wanted]


def _app(wanted: Sequence[ResolvedInput]) -> str:
    return wanted[0].deployment.app


def _plans(wanted: Sequence[ResolvedInput], run: RunOptions, emit: Emit) -> tuple[HostPlan, ...]:
    with connect_all(wanted, run, emit) as connections:
        made = prepare(
            wanted, connections, attempt_to("plan", run), recover=False, allow_older=True
        )
        findings = surveyed(made, connections)
        lost = connections.problems()
    plans = {
        name: replace(
            made[name][1], problems=(*_problems(name, answer), *_of_order(made[name][1], run))
        )
        for name, answer in findings.items()
    }
    return tuple(plans.get(t.name) or _no_plan(t.name, lost.get(t.name)) for t in wanted)


def _problems(name: str, findings: messages.Findings) -> tuple[Problem, ...]:
    return tuple(problem_of(RefusedError(name, found), name) for found in findings.problems)


def _of_order(plan: HostPlan, run: RunOptions) -> tuple[Problem, ...]:
    """Return the problem of a release that is older than the running one, for its plan."""
    try:
        if not run.allow_older:
            planning.refuse_if_older(plan)
    except HostError as error:
        return (problem_of(error, plan.host),)
    return ()


def _no_plan(name: str, problem: Problem | None) -> HostPlan:
    return HostPlan(name, Action.NOTHING, "", "", problems=(problem,) if problem else ())


def status(run: RunOptions, emit: Emit) -> list[tuple[str, dict[str, messages.Status | Problem]]]:
    """Return what runs on each host, and how it differs from its manifest."""
    return _query(run, emit, lambda _, session: session.status(messages.AskStatus()))


def releases(
    run: RunOptions, emit: Emit
) -> list[tuple[str, dict[str, messages.History | Problem]]]:
    """Return each host's releases, the newest first."""
    return _query(run, emit, lambda _, session: session.history())


def _query(
    run: RunOptions, emit: Emit, question: Callable[[HostInput, HostSession], T]
) -> list[tuple[str, dict[str, T | Problem]]]:
    """Send one query to every host of every deployment."""
    answers: list[tuple[str, dict[str, T | Problem]]] = []
    for found in targets(run):
        with connect_all(found, run, emit) as connections:
            ask(found, connections, recover=False)
            answered = connections.each(partial(_ask_host, question, {t.name: t for t in found}))
            lost = connections.problems()
        results: dict[str, T | Problem] = {**answered, **lost}
        answers.append((found[0].deployment.app, {t.name: results[t.name] for t in found}))
    return answers


def _ask_host(
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
    """Pass the journal of the app's units to `write(host, text)`; `follow` lasts until Ctrl-C.

    Includes the units of trials and of failed releases.
    """
    found = [target for each in targets(run) for target in each]
    emit(SecretsKnown(Mask(secrets_at_hand(found, run_commands=True))))

    def stream(target: HostInput, session: HostSession) -> None:
        ask = messages.AskLogs(lines, follow, service, tuple(target.deployment.services))
        session.logs(ask, partial(write, target.name))

    answers = _query(run, emit, stream)
    failed = [one for _, hosts in answers for one in hosts.values() if isinstance(one, Problem)]
    return 3 if failed else 0

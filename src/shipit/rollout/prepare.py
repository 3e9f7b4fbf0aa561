"""Query every host's facts, and work out what each should get and what that would change."""

from __future__ import annotations

import functools
import getpass
import os
import secrets
import socket
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from shipit.agent.protocol import messages, refusals
from shipit.errors import HostError, InputError, merged
from shipit.events import SecretsKnown
from shipit.playbook.fields import EVERY_FILE, TEMPLATES
from shipit.release import build, pulling, saved_plan, sources
from shipit.release import plan as planning
from shipit.release.inputs import (
    HostInput,
    Readers,
    ResolvedInput,
    RunOptions,
    resolve,
    targets,
)
from shipit.release.manifest import slow_digest
from shipit.rollout.build_host import BuildHost
from shipit.rollout.host_session import RefusedError
from shipit.rollout.phase import Phase
from shipit.secrets import Mask

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from shipit.bundle.select import Sources
    from shipit.bundle.target import Target
    from shipit.events import Emit
    from shipit.release.build import BuiltRelease
    from shipit.release.plan import HostPlan
    from shipit.release.sources import Named
    from shipit.rollout.connections import Connections
    from shipit.rollout.host_session import HostSession

    Made = Mapping[str, tuple[BuiltRelease, HostPlan]]

SIGNATURE = "signature"  # the step of a host that checks one


def wanted_by(
    run: RunOptions,
    emit: Emit,
    check: Callable[[list[list[HostInput]]], None] = lambda _: None,
) -> list[list[ResolvedInput]]:
    """Return what every host should get; all input has been checked then.

    `check` is called once the inventory and the playbook are known to be right, before wheels are
    built or fetched: it may refuse the deployments, or begin to log in to their hosts.
    """
    readers = Readers(wheels=wheels_by(run, emit))
    needed = TEMPLATES if run.bundle else EVERY_FILE
    found = targets(run, must_exist=needed)
    check(found)
    wanted = [resolve(each, readers) for each in found]
    hidden = (secret for each in wanted for resolved in each for secret in resolved.hidden())
    emit(SecretsKnown(Mask(hidden)))
    pulling.check(resolved for each in wanted for resolved in each)
    return wanted


def wheels_by(
    run: RunOptions, emit: Emit, kinds: Sequence[Target] = ()
) -> Callable[[Named], Sources]:
    """Return the reader of wheels of a run, for these kinds of hosts if they are known already.

    It notes what takes time.
    """
    builder = BuildHost(run, emit) if run.builder else None
    return functools.partial(
        sources.load, bundle=run.bundle, emit=emit, builder=builder, targets=kinds
    )


def prepare(
    wanted: Sequence[ResolvedInput],
    connections: Connections,
    attempt: messages.Attempt,
    *,
    recover: bool = True,
    allow_older: bool = False,
) -> dict[str, tuple[BuiltRelease, HostPlan]]:
    """Query every host, and build for each what it should get and what that would change.

    Hosts that can't get it are lost: full ones, those that run a newer version unless older ones
    are allowed, and those without wheels for their Python. A stuck host can get it: a new release
    may fix it.

    Raises:
        InputError: the input fits none of the hosts.
    """
    nonce = secrets.token_hex(16)
    digest = functools.cache(slow_digest)
    by_name = {resolved.name: resolved for resolved in wanted}
    questions = {
        name: replace(
            _hello(each, recover=recover),
            blobs=_known(each.sources),
            nonce=nonce,
            compare=True,
        )
        for name, each in by_name.items()
    }
    answers = connections.each(lambda name, session: session.hello(questions[name]))
    refuse_second_names(answers, connections)

    built: dict[str, BuiltRelease] = {}
    unfit: dict[str, InputError] = {}
    for name, facts in answers.items():
        with connections.holding(name, running(facts)):
            try:
                built[name] = build.build(by_name[name], facts, attempt, digest, nonce)
            except InputError as error:
                unfit[name] = error
    made: dict[str, tuple[BuiltRelease, HostPlan]] = {}
    for name, present in _present(built, answers, questions, connections).items():
        with connections.holding(name, running(answers[name])):
            facts, release = replace(answers[name], present=present), built[name].without(present)
            plan = planning.compare(name, release, facts)
            planning.refuse_if_it_does_not_fit(plan, facts)
            if not allow_older:
                planning.refuse_if_older(plan)
            made[name] = release, plan
    if unfit and not made:
        raise InputError(*merged(each for wrong in unfit.values() for each in wrong.mistakes))
    for name, wrong in unfit.items():  # the input fits other hosts: it is this one's failure
        first, *others = wrong.mistakes
        what = f"{first.what} (and {len(others)} more)" if others else first.what
        own = HostError(first.code, what, host=name, step="hello", hint=first.hint)
        connections.lose(name, own, running(answers[name]))
    return made


def _known(sources: Sources) -> tuple[str, ...]:
    """Return the sha256 of what a host may have already."""
    return (*sources.digests(), *(sources.interpreters.digests() if sources.interpreters else ()))


def _present(
    built: Mapping[str, BuiltRelease],
    answers: Mapping[str, messages.Facts],
    questions: Mapping[str, messages.Hello],
    connections: Connections,
) -> dict[str, tuple[str, ...]]:
    """Return the wheels that each host has already.

    Those of a project may be known only now, when they are chosen: hosts are asked once more.
    """
    unasked = {
        name: tuple({blob.sha256 for blob in release.blobs} - set(questions[name].blobs))
        for name, release in built.items()
    }
    if not any(unasked.values()):
        return {name: answers[name].present for name in built}

    def ask_again(name: str, session: HostSession) -> tuple[str, ...]:
        if not unasked.get(name):
            return ()
        first = questions[name]
        hello = messages.Hello(first.app, first.root, blobs=unasked[name], recover=False)
        return session.hello(hello).present

    more = connections.each(ask_again)
    return {name: (*answers[name].present, *more[name]) for name in built if name in more}


def surveyed(
    made: Mapping[str, tuple[BuiltRelease, HostPlan]], connections: Connections, elected: str = ""
) -> dict[str, messages.Findings]:
    """Run the preflight checks of every built release on its host; nothing is changed.

    The elected host is also asked what the migration would do.
    """
    return connections.each(
        lambda name, session: _survey(*made[name], session, pending=name == elected)
    )


def _survey(
    built: BuiltRelease, plan: HostPlan, session: HostSession, *, pending: bool = False
) -> messages.Findings:
    texts, size = dict(built.texts), plan.missing_bytes
    about = (built.manifest, size, texts, built.user_given, built.signed)
    found = session.survey(messages.Survey(*about, pending=pending))
    if plan.action is not planning.Action.NOTHING:
        return found
    # Nothing would be staged, so it does not matter who has signed it.
    return replace(found, problems=tuple(p for p in found.problems if p.step != SIGNATURE))


def refuse_unsigned(
    made: Mapping[str, tuple[BuiltRelease, HostPlan]], connections: Connections
) -> dict[str, tuple[BuiltRelease, HostPlan]]:
    """Return the releases without those that a host does not take because of who signed them.

    Hosts that ask for signatures are asked before anything is sent to them. They check again when
    the release is staged.
    """

    def ask(name: str, session: HostSession) -> tuple[messages.Failure, ...]:
        built, plan = made[name]
        if not plan.signed_only or plan.action is planning.Action.NOTHING:
            return ()
        return _survey(built, plan, session).problems

    taken: dict[str, tuple[BuiltRelease, HostPlan]] = {}
    for name, problems in connections.each(ask).items():
        built, plan = made[name]
        with connections.holding(name, plan.current):
            for failure in (each for each in problems if each.step == SIGNATURE):
                raise RefusedError(name, failure)
            taken[name] = built, plan
    return taken


def refuse_held(made: Made, connections: Connections) -> Made:
    """Return no release at all if one host holds its release: others may have missed the hold."""
    held = [(name, plan) for name, (_, plan) in made.items() if plan.holds]
    why = {name: refusals.of_hold(plan.holds[0], plan.release) for name, plan in held}
    return _refuse_together(made, connections, why)


def refuse_changed(
    made: Made, connections: Connections, planned: Mapping[str, Mapping[str, Any]]
) -> Made:
    """Return no release at all where one of the hosts differs from its saved plan.

    So does a host that is lost by a failure of its own: no plan is saved of one with a problem. An
    unreachable one may be as it was, and counts against the limits as in any run.
    """
    why: dict[str, messages.Failure] = {}
    for name, (_, plan) in made.items():
        if found := "; ".join(saved_plan.differences(planned[name], plan)):
            what = f"this host has changed since the plan was made: it {found}"
            hint = "see what is different, and plan again: shipit plan PLAYBOOK --out FILE"
            why[name] = messages.Failure("plan-changed", what, "plan", hint)
    for name, lost in connections.lost.items():
        if (problem := lost.problem) and lost.phase is not Phase.UNREACHABLE:
            what = f"this host cannot get what was planned: {problem.what} [{problem.code}]"
            why[name] = messages.Failure("plan-changed", what, "plan", problem.hint)
    return _refuse_together(made, connections, why)


def _refuse_together(
    made: Made, connections: Connections, why: Mapping[str, messages.Failure]
) -> Made:
    """Lose all hosts if one is refused: this is no failure of a host that a limit could allow."""
    if not why:
        return dict(made)
    first, failure = next(iter(why.items()))
    of_others = replace(failure, what=f"on {first}: {failure.what}")
    for name, (_, plan) in made.items():
        with connections.holding(name, plan.current):
            raise RefusedError(name, why.get(name, of_others))
    return {}


def refuse_if_held(plan: HostPlan) -> None:
    """Refuse a release that its host holds.

    Raises:
        RefusedError: app-held or release-held.
    """
    for hold in plan.holds:
        raise RefusedError(plan.host, refusals.of_hold(hold, plan.release))


def _hello(target: HostInput, *, recover: bool) -> messages.Hello:
    deployment = target.deployment
    return messages.Hello(deployment.app, str(deployment.root), recover=recover)


def running(facts: messages.Facts) -> str:
    """Return the id of the release that a host runs, "" for none."""
    return facts.current.id if facts.current else ""


def ask(
    found: Sequence[HostInput], connections: Connections, *, recover: bool
) -> dict[str, messages.Facts]:
    """Return each host's facts; with `recover` the host first settles an open transaction."""
    questions = {target.name: _hello(target, recover=recover) for target in found}
    answers = connections.each(lambda name, session: session.hello(questions[name]))
    if recover:
        refuse_second_names(answers, connections)
    return answers


def refuse_second_names(answers: dict[str, messages.Facts], connections: Connections) -> None:
    """Lose the hosts that are names of one machine: runs under two names would collide."""
    names_of: dict[str, list[str]] = {}
    for name, facts in answers.items():
        if facts.machine_digest:
            names_of.setdefault(facts.machine_digest, []).append(name)
    for names in names_of.values():
        what = f"{', '.join(names)} are names of one machine"
        hint = (
            "keep one of them in the inventory, or leave the others out: --limit"
            f" '{names[0]}' for this machine alone"
        )
        for name in names if len(names) > 1 else ():
            error = HostError("same-machine", what, host=name, step="hello", hint=hint)
            connections.lose(name, error, running(answers.pop(name)))


def attempt_to(what: str, run: RunOptions) -> messages.Attempt:
    return messages.Attempt(
        txn=secrets.token_hex(6),
        what=what,
        who=f"{getpass.getuser()}@{socket.gethostname()}",
        pid=os.getpid(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        reason=run.reason,
    )

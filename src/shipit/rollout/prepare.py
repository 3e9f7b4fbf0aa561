"""Ask every host what it is, and work out what each should get and what that would change."""

from __future__ import annotations

import getpass
import os
import secrets
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from shipit.agent.protocol import messages
from shipit.errors import HostError, InputError, merged
from shipit.events import SecretsKnown
from shipit.release import build
from shipit.release import plan as planning
from shipit.release.inputs import HostInput, ResolvedInput, RunOptions, resolve, targets
from shipit.release.manifest import Origin, SlowDigests
from shipit.secrets import Mask

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shipit.events import Emit
    from shipit.release.build import BuiltRelease
    from shipit.release.plan import HostPlan
    from shipit.rollout.connections import Connections
    from shipit.rollout.host_session import HostSession


def wanted_by(run: RunOptions, emit: Emit) -> list[list[ResolvedInput]]:
    """Return what every host should get: all that a person wrote has been checked then."""
    wanted = [resolve(found) for found in targets(run, must_exist=True)]
    emit(SecretsKnown(Mask(secret for each in wanted for wish in each for secret in wish.hidden())))
    return wanted


def prepare(
    wanted: Sequence[ResolvedInput],
    hosts: Connections,
    attempt: messages.Attempt,
    *,
    recover: bool = True,
    allow_older: bool = False,
) -> dict[str, tuple[BuiltRelease, HostPlan]]:
    """Ask every host, and work out for each what it should get and what that would change.

    Hosts that can't get it are lost to the crew: full ones, those that run a newer version unless
    older ones are allowed, and those for whose Python there are no wheels. One that is stuck can
    get it: a new release may be what mends it.

    Raises:
        InputError: what was written fits no host that could be asked.
    """
    nonce = secrets.token_hex(16)
    origin, digests = Origin(attempt.who, attempt.started), SlowDigests()
    by_name = {wish.target.name: wish for wish in wanted}
    asks = {name: _hello(wish, nonce, recover=recover) for name, wish in by_name.items()}
    answers = hosts.each(lambda name, session: session.hello(asks[name]))
    refuse_second_names(answers, hosts)

    made: dict[str, tuple[BuiltRelease, HostPlan]] = {}
    unfit: dict[str, InputError] = {}
    for name, facts in answers.items():
        with hosts.holding(name, running(facts)):
            try:
                offer = build.build(by_name[name], facts, origin, digests, nonce)
            except InputError as error:
                unfit[name] = error
                continue
            made[name] = offer, _planned(name, offer, facts, allow_older=allow_older)
    if unfit and not made:
        raise InputError(*merged(each for wrong in unfit.values() for each in wrong.mistakes))
    for name, wrong in unfit.items():
        hosts.lose(name, _unfit(name, wrong), running(answers[name]))
    return made


def _planned(
    name: str, offer: BuiltRelease, facts: messages.Facts, *, allow_older: bool
) -> HostPlan:
    plan = planning.compare(name, offer.wanted, facts)
    planning.refuse_if_it_does_not_fit(plan, facts)
    if not allow_older:
        planning.refuse_if_older(plan)
    return plan


def _unfit(host: str, error: InputError) -> HostError:
    """Return a mistake as one host's failure: the others show that it lies in what that host is."""
    first, *others = error.mistakes
    more = f" (and {len(others)} more)" if others else ""
    return HostError(first.code, f"{first.what}{more}", host=host, step="hello", hint=first.hint)


def surveyed(
    made: Mapping[str, tuple[BuiltRelease, HostPlan]], hosts: Connections
) -> dict[str, messages.Findings]:
    """Ask every host with an offer what would keep it from staging that; nothing is touched."""

    def survey(name: str, session: HostSession) -> messages.Findings:
        offer, plan = made[name]
        goods, size = offer.goods, plan.missing_bytes
        return session.survey(
            messages.Survey(goods.manifest, size, dict(goods.texts), goods.user_given)
        )

    return hosts.each(survey)


def _hello(wish: ResolvedInput, nonce: str, *, recover: bool) -> messages.Hello:
    return messages.Hello(
        app=wish.target.deployment.app,
        root=str(wish.target.deployment.root),
        blobs=wish.sources.digests(),
        nonce=nonce,
        recover=recover,
        compare=True,
    )


def running(facts: messages.Facts) -> str:
    """Return the id of the release that a host runs, "" for none."""
    return facts.current.id if facts.current else ""


def ask(
    found: Sequence[HostInput], hosts: Connections, *, recover: bool
) -> dict[str, messages.Facts]:
    """Return what each host says of itself; `recover`: something is about to be done there."""
    asks = {
        target.name: messages.Hello(
            target.deployment.app, str(target.deployment.root), recover=recover
        )
        for target in found
    }
    answers = hosts.each(lambda name, session: session.hello(asks[name]))
    if recover:
        refuse_second_names(answers, hosts)
    return answers


def refuse_second_names(answers: dict[str, messages.Facts], hosts: Connections) -> None:
    """Take those out that are one machine: what is done under one name would disturb the other."""
    names_of: dict[str, list[str]] = {}
    for name, facts in answers.items():
        if facts.machine_digest:
            names_of.setdefault(facts.machine_digest, []).append(name)
    for names in names_of.values():
        for name in names if len(names) > 1 else ():
            hosts.lose(name, _same_machine(name, names), running(answers.pop(name)))


def _same_machine(host: str, names: Sequence[str]) -> HostError:
    return HostError(
        "same-machine",
        f"{', '.join(names)} are names of one machine",
        host=host,
        step="hello",
        hint="keep one of them in the inventory, or leave the others out: --limit"
        f" '{names[0]}' for this machine alone",
    )


def attempt_to(what: str, run: RunOptions) -> messages.Attempt:
    return messages.Attempt(
        txn=secrets.token_hex(6),
        what=what,
        who=f"{getpass.getuser()}@{socket.gethostname()}",
        pid=os.getpid(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        reason=run.reason,
    )

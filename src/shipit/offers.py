"""Ask every host what it is, and work out what each should get and what that would change."""

from __future__ import annotations

import getpass
import os
import secrets
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from shipit import plan as planning
from shipit import release
from shipit.agent import protocol
from shipit.events import SecretsKnown
from shipit.manifest import Origin, SlowDigests
from shipit.secret import Mask
from shipit.wishes import Run, Target, Wish, gathered, targets, wishes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shipit.events import Emit
    from shipit.fleet import Crew
    from shipit.plan import HostPlan
    from shipit.release import Offer
    from shipit.session import Session


def wanted_by(run: Run, emit: Emit) -> list[list[Wish]]:
    """Return what every host should get: all that a person wrote has been checked then."""
    wanted = [wishes(found) for found in targets(run, must_exist=True)]
    known = {secret for each in wanted for wish in each for secret in wish.secrets.values()}
    emit(SecretsKnown(Mask(known)))
    return wanted


def offers(
    wanted: Sequence[Wish],
    hosts: Crew,
    attempt: protocol.Attempt,
    *,
    recover: bool = True,
    allow_older: bool = False,
) -> dict[str, tuple[Offer, HostPlan]]:
    """Ask every host, and work out for each what it should get and what that would change.

    Hosts that can't get it are lost to the crew: full ones, and those that run a newer version
    unless older ones are allowed. One that is stuck can: a new release may be what mends it.
    """
    nonce = secrets.token_hex(16)
    origin, digests = Origin(attempt.who, attempt.started), SlowDigests()
    by_name = {wish.target.name: wish for wish in wanted}
    asks = {name: _hello(wish, nonce, recover=recover) for name, wish in by_name.items()}
    answers = hosts.each(lambda name, session: session.hello(asks[name]))

    def offer(name: str) -> tuple[str, tuple[Offer, HostPlan]] | None:
        with hosts.holding(name, running(answers[name])):
            made = release.make(by_name[name], answers[name], origin, digests, nonce)
            plan = planning.compare(name, made.wanted, answers[name])
            planning.refuse_if_it_does_not_fit(plan, answers[name])
            if not allow_older:
                planning.refuse_if_older(plan)
            return name, (made, plan)

    return dict(pair for pair in gathered(offer, answers) if pair)


def surveyed(
    made: Mapping[str, tuple[Offer, HostPlan]], hosts: Crew
) -> dict[str, protocol.Findings]:
    """Ask every host with an offer what would keep it from staging that; nothing is touched."""

    def survey(name: str, session: Session) -> protocol.Findings:
        offer, plan = made[name]
        goods, size = offer.goods, plan.missing_bytes
        return session.survey(
            protocol.Survey(goods.manifest, size, dict(goods.texts), goods.user_given)
        )

    return hosts.each(survey)


def _hello(wish: Wish, nonce: str, *, recover: bool) -> protocol.Hello:
    return protocol.Hello(
        app=wish.target.deployment.app,
        root=str(wish.target.deployment.root),
        blobs=wish.sources.digests(),
        nonce=nonce,
        recover=recover,
    )


def running(facts: protocol.Facts) -> str:
    """Return the id of the release that a host runs, "" for none."""
    return facts.current.id if facts.current else ""


def ask(found: Sequence[Target], hosts: Crew, *, recover: bool) -> dict[str, protocol.Facts]:
    asks = {
        target.name: protocol.Hello(
            target.deployment.app, str(target.deployment.root), recover=recover
        )
        for target in found
    }
    return hosts.each(lambda name, session: session.hello(asks[name]))


def attempt_to(what: str, run: Run) -> protocol.Attempt:
    return protocol.Attempt(
        txn=secrets.token_hex(6),
        what=what,
        who=f"{getpass.getuser()}@{socket.gethostname()}",
        pid=os.getpid(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        reason=run.reason,
    )

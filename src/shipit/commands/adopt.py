"""Adopt roots in which another tool has deployed, before the first deploy with shipit."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from shipit.release.inputs import targets
from shipit.rollout.connections import connect_all
from shipit.rollout.prepare import ask, attempt_to

if TYPE_CHECKING:
    from shipit.agent.protocol.messages import Attempt, Status
    from shipit.events import Emit, Problem
    from shipit.release.inputs import RunOptions
    from shipit.rollout.host_session import HostSession


def adopt(run: RunOptions, emit: Emit) -> list[tuple[str, dict[str, Status | Problem]]]:
    """Make each host record the contents of the root as a release to roll back to.

    Raises:
        InputError: the input is wrong.
    """
    answers: list[tuple[str, dict[str, Status | Problem]]] = []
    for found in targets(run):
        attempt = attempt_to("adopt", run)
        with connect_all(found, run, emit) as connections:
            ask(found, connections, recover=True)
            adopted = connections.each(partial(_adopt, attempt))
            lost = connections.problems()
        results: dict[str, Status | Problem] = {**adopted, **lost}
        answers.append((found[0].deployment.app, {t.name: results[t.name] for t in found}))
    return answers


def _adopt(attempt: Attempt, _host: str, session: HostSession) -> Status:
    return session.adopt(attempt)

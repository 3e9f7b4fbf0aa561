"""Adopt roots in which another tool has deployed, before the first deploy with shipit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shipit.commands.inspect import query
from shipit.rollout.prepare import attempt_to

if TYPE_CHECKING:
    from shipit.agent.protocol.messages import Status
    from shipit.events import Emit, Problem
    from shipit.release.inputs import RunOptions


def adopt(run: RunOptions, emit: Emit) -> list[tuple[str, dict[str, Status | Problem]]]:
    """Make each host record the contents of the root as a release to roll back to.

    Raises:
        InputError: the input is wrong.
    """
    attempt = attempt_to("adopt", run)
    return query(run, emit, lambda _, session: session.adopt(attempt), recover=True)

"""Make of a playbook's canary how it is held."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shipit.rollout.canary import checks
from shipit.rollout.canary.decision import Decision, Rules
from shipit.rollout.canary.hold import CanaryHold
from shipit.rollout.controller.terminal import Question
from shipit.secrets import Mask

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shipit.release.inputs import ResolvedInput, RunOptions

ON_TIMEOUT = {
    "stop": Decision.STOP,
    "rollback": Decision.ROLL_BACK,
    "promote": Decision.GO_ON,
}


def hold(
    wanted: Sequence[ResolvedInput], who: str, environment: Mapping[str, str], run: RunOptions
) -> CanaryHold | None:
    """Return how canaries are held; None if the playbook has none.

    Args:
        wanted: the hosts of the deployment.
        who: the operator, as user@machine.
        environment: of the commands that check them.
        run: the options of the command line.
    """
    target = wanted[0]
    canary = target.deployment.canary
    if canary is None:
        return None
    return CanaryHold(
        Rules(canary.prompt, ON_TIMEOUT[canary.on_timeout]),
        canary.hold,
        canary.timeout,
        checks.load(canary.checks, target.tokens, target.draft.folder, environment),
        who,
        Mask(secret for each in wanted for secret in each.hidden()),
        Question if run.is_interactive else None,
    )

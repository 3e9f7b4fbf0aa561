"""Return what to do after a run: the last line of its output. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shipit.events import Outcome
from shipit.release.plan import short
from shipit.rollout import verdict
from shipit.rollout.strategy import Canaries

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shipit.playbook.models import Deployment
    from shipit.rollout.executor import Fleet

ROLLED_BACK, MIXED = 4, 5
ADVICE: Mapping[int, str] = {
    3: "fix the problem above and run the command again",
    ROLLED_BACK: "fix the problem above and run the command again; no cleanup is needed",
    MIXED: "look at the hosts named above: shipit status PLAYBOOK --limit HOST",
    130: "run the command again when you are ready",
}
FIX = "deploy a fixed version; this one is held: --override-hold -m WHY if it was not to blame"
WATCHED = "the hosts go on watching it for {}: shipit status PLAYBOOK shows what they find"
FOLLOW = "shipit attach PLAYBOOK follows the transactions of the lost hosts"
DECIDE = (
    "deploy again, so that other hosts follow; or roll the canary back: shipit rollback PLAYBOOK"
    " --limit HOST"
)


def after(status: int, fleet: Fleet, deployment: Deployment) -> str:
    """Return what to do; "" for nothing. `status` is the exit status."""
    results = fleet.results().values()
    outcomes = {result.outcome for result in results}
    if Outcome.UNKNOWN in outcomes:
        return FOLLOW
    if status == ROLLED_BACK and any(map(verdict.speaks_against, results)):
        return FIX
    if status == MIXED and fleet.decided is Canaries.ALONE:
        return DECIDE
    if status == 0 and deployment.watch and Outcome.COMMITTED in outcomes:
        return WATCHED.format(short(deployment.watch.duration))
    return ADVICE.get(status, "")

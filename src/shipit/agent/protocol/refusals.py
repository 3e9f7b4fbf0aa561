"""What speaks against a release, and how one that is held is refused: for both sides. Pure."""

from __future__ import annotations

from .controls import Control, Hold  # noqa: TC001 - Python 3.8
from .messages import Failure

# Codes of failures that speak against the release itself; no other failure holds it.
ABORTED = "canary-aborted"
VERDICTS = frozenset({"check-failed", "unit-failed", "start-failed", "soak-failed", ABORTED})
PAUSED = "paused"  # the code of a host that waits for its run to be resumed
STEP = "hold"
_OVERRIDE = "--override-hold -m WHY, which is recorded"


def of_hold(hold: Hold, release: str) -> Failure:
    """Return why this release is refused."""
    until = f" until {hold.until}" if hold.until else ""
    by = f"{until}, by {hold.who} since {hold.at}: {hold.why or 'no reason given'}"
    if not hold.release:
        hint = f"wait for shipit unhold PLAYBOOK; or {_OVERRIDE}. A rollback is possible"
        return Failure("app-held", f"deploys of this app are held{by}", STEP, hint)
    hint = f"deploy a fixed version; if this one was not to blame: {_OVERRIDE}"
    return Failure("release-held", f"{release} is held{by}", STEP, hint)


def of_abort(said: Control, step: str) -> Failure:
    """Return why a canary is rolled back: a check of it has failed, or an operator says so."""
    why = said.why or "no reason given"
    return Failure("canary-aborted", f"the canary was aborted by {said.who}: {why}", step)


def of_pause(said: Control) -> Failure:
    """Return why a host is not switched: an operator has paused the run meanwhile."""
    why = f": {said.why}" if said.why else ""
    what = f"the run is paused by {said.who} since {said.at}{why}"
    return Failure("paused", what, "arm", "shipit resume PLAYBOOK lets it go on")

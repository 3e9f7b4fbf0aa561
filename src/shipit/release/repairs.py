"""What puts drift right: the way out of each kind, and the name of a release that is made anew.

Pure. The agent says what differs; what a deploy does about it, or leaves to a person, is here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shipit.agent.protocol import generations
from shipit.agent.protocol.answers import REBUILT, SWITCHED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shipit.agent.protocol.answers import Drift
    from shipit.agent.protocol.messages import Facts

DEPLOY = "shipit deploy PLAYBOOK"
FIXES: Mapping[str, str] = {
    **dict.fromkeys(REBUILT, f"{DEPLOY}: it builds the release anew beside this one"),
    **dict.fromkeys(SWITCHED, f"{DEPLOY}: it puts this right and starts the units again"),
    "adopted-moved": f"point it back by hand, or take the next step: {DEPLOY}",
    "drop-in": "a deploy leaves it: rm {path} and systemctl daemon-reload on the host, then restart"
    " the unit; what it is for belongs into a template of the unit (`unit:`)",
    "unit-not-reloaded": "systemctl daemon-reload on the host",
}
UNKNOWN_FIX = f"{DEPLOY}, or take the change back"


def fix_for(drift: Drift) -> str:
    """Return what a person has to run or do."""
    return FIXES.get(drift.code, UNKNOWN_FIX).format(path=drift.path)


def name_of(release: str, facts: Facts) -> str:
    """Return what a release of these contents is called on the host that says `facts` of itself.

    That of its last generation there; a new one where that runs and has to be built anew: it is
    staged, tried and switched to like any other release, and a failure goes back to what runs.
    """
    running = next((line.id for line in facts.releases if line.running), "")
    if generations.contents(running) == release:
        has_drifted = any(each.code in REBUILT for each in facts.drift)
        return generations.following(running) if has_drifted else running
    there = (line.id for line in facts.releases if line.present and line.outcome == "committed")
    alike = (each for each in there if generations.contents(each) == release)
    return max(alike, key=generations.number, default=release)

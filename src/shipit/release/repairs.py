"""How to fix drift: the fix for each kind, and the name of a release that is rebuilt.

Pure. The agent reports what differs; this module knows what a deploy or an operator does about it.
"""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from shipit.agent.protocol.answers import REBUILT, SWITCHED
from shipit.agent.protocol.rules import generations

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shipit.agent.protocol.answers import Drift
    from shipit.agent.protocol.messages import Facts

DEPLOY = "shipit deploy PLAYBOOK"
FIXES: Mapping[str, str] = {
    **dict.fromkeys(REBUILT, f"{DEPLOY}: it rebuilds the release beside this one"),
    **dict.fromkeys(SWITCHED, f"{DEPLOY}: it repairs this and restarts the units"),
    "adopted-moved": f"point it back by hand, or take the next step: {DEPLOY}",
    "drop-in": "a deploy leaves it: rm {path} and systemctl daemon-reload on the host, then restart"
    " the unit; its settings belong in a template of the unit (`unit:`)",
    "unit-not-reloaded": "systemctl daemon-reload on the host",
}
UNKNOWN_FIX = f"{DEPLOY}, or undo the change"


def fix_for(drift: Drift) -> str:
    """Return what the operator must run or do."""
    return FIXES.get(drift.code, UNKNOWN_FIX).format(path=quote(drift.path))


def name_of(release: str, facts: Facts) -> str:
    """Return the name of a release with these contents on a host with these facts.

    It is the name of the last generation there, or a new one if that generation runs and must be
    rebuilt: a new generation is staged, tried and switched to like any other release.
    """
    running = next((line.id for line in facts.releases if line.running), "")
    if generations.contents(running) == release:
        has_drifted = any(each.code in REBUILT for each in facts.drift)
        return generations.following(running) if has_drifted else running
    there = (line.id for line in facts.releases if line.present and line.outcome == "committed")
    alike = (each for each in there if generations.contents(each) == release)
    return max(alike, key=generations.number, default=release)

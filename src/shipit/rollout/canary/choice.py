"""Choose the canaries of a deploy. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from shipit.release.plan import Action
from shipit.rollout.strategy import cut

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shipit.playbook.canary.models import Canary, CanaryCheck
    from shipit.release.build import BuiltRelease
    from shipit.release.inputs import HostInput
    from shipit.release.plan import HostPlan

    Made = Mapping[str, tuple[BuiltRelease, HostPlan]]

NONE = "there is no canary: none of its hosts changes in this run, and nothing is held"


def changing(made: Made, order: Sequence[HostInput]) -> list[HostInput]:
    """Return the hosts that get another release, in order."""
    there = [target for target in order if target.name in made]
    return [target for target in there if made[target.name][1].action is not Action.NOTHING]


def canaries(made: Made, order: Sequence[HostInput]) -> tuple[str, ...]:
    """Return the hosts that are switched first, and held: of those that change; () for none."""
    canary, found = order[0].deployment.canary, changing(made, order)
    if canary is None or not found:
        return ()
    if isinstance(canary.hosts, tuple):
        wanted = set(canary.hosts)
        return tuple(it.name for it in found if wanted & {it.name, *it.host.groups})
    return cut([target.name for target in found], (canary.hosts,))[0]


def planned(made: Made, order: Sequence[HostInput]) -> dict[str, tuple[BuiltRelease, HostPlan]]:
    """Return the releases with plans that say who is a canary, and how it is held."""
    canary = order[0].deployment.canary
    if canary is None:
        return dict(made)
    held = canaries(made, order)
    lines = (_hosts(held, len(changing(made, order))), _held(canary), *map(_check, canary.checks))
    return {
        name: (
            built,
            plan
            if plan.action is Action.NOTHING
            else replace(plan, canary=lines if held else (NONE,)),
        )
        for name, (built, plan) in made.items()
    }


def _hosts(held: Sequence[str], total: int) -> str:
    rest = total - len(held)
    others = f"before {rest} {'other' if rest == 1 else 'others'}" if rest else "and no other host"
    return f"{', '.join(held)}, {others}"


def _held(canary: Canary) -> str:
    asks = ", then an operator decides" if canary.prompt else ""
    waits = f"up to {canary.timeout:g} s more until it is decided, then {canary.on_timeout}"
    return f"held for {canary.hold:g} s{asks}; {waits}"


def _check(check: CanaryCheck) -> str:
    if check.command:
        asked = check.command
    else:
        limits = {"min": check.min, "max": check.max, "at_most_times": check.at_most_times}
        shown = ", ".join(f"{key} {it:g}" for key, it in limits.items() if it is not None)
        asked = f"{' '.join(check.query.split())} ({shown}) at {check.prometheus}"
    return f"check every {check.interval:g} s: {asked}"

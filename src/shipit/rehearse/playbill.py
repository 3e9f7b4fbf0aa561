"""Write a rehearsal's report: what was played, how long it took, and what was not as it has to be.

Pure. The same text is shown and kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shipit.faces import wording
from shipit.rehearse.acts import ACTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from shipit.rehearse.acts import Act, Scene, Sight
    from shipit.rehearse.casting import Cast

MACHINES = "systemd-nspawn, Debian 12"
LIMITS = (
    "The machines share this machine's kernel and clock, and reach no other network: what needs "
    "a database, a DNS name or another kernel has not been rehearsed."
)


def report(
    playbook: str,
    cast: Cast,
    scenes: Sequence[Scene],
    *,
    is_interrupted: bool,
    acts: Sequence[Act] = ACTS,
) -> str:
    """Return the report; acts after the first that went wrong were not played."""
    head, played = _head(playbook, cast), _played(scenes)
    rest = _not_played(acts[len(scenes) :], is_interrupted=is_interrupted)
    return "\n".join([*head, "", *played, *rest, "", LIMITS]) + "\n"


def _head(playbook: str, cast: Cast) -> Iterator[str]:
    machines = wording.count(len(cast.machines), "machine")
    yield f"rehearsal of {playbook} on {machines} ({MACHINES}): {', '.join(cast.machines)}"
    if cast.left_out:
        yield f"left out, to boot no more machines: {wording.names(cast.left_out)}"


def _played(scenes: Sequence[Scene]) -> Iterator[str]:
    for scene in scenes:
        ended = "NOT AS EXPECTED" if scene.wrong else "as expected"
        yield f"  {scene.act.title:36}  {wording.seconds(scene.seconds):>6}  {ended}"
        if scene.settled is not None:
            yield f"      back {wording.seconds(scene.settled)} after the fault, by itself"
        yield from (f"      runs {text}" for text in _seen(scene.sights))
        yield from (f"      {text}" for text in scene.wrong)


def _not_played(acts: Sequence[Act], *, is_interrupted: bool) -> Iterator[str]:
    for number, act in enumerate(acts):
        word = "interrupted" if is_interrupted and number == 0 else "not played"
        yield f"  {act.title:36}  {'':6}  {word}"


def _seen(sights: Mapping[tuple[str, str], Sight]) -> Iterator[str]:
    """Give what runs, with the hosts that run it."""
    hosts: dict[tuple[str, int], list[str]] = {}
    for (_, host), sight in sights.items():
        hosts.setdefault((sight.release or "nothing", sight.answered), []).append(host)
    for (release, answered), names in hosts.items():
        asked = f"; {wording.count(answered, 'health check')} of each asked from outside"
        yield f"{release} on {wording.names(names)}" + (asked if answered else "")

"""Decide which directories change hands when the services get another user or group. Pure.

systemd gives a service its directories as it starts, by a chown of all that is in them. That is too
late for a release that runs beside its predecessor, leaves `shared/` out, and takes files that
merely have a second name there. So the switch hands them over itself: `chowning` does it. What
`DynamicUser=` makes up is left to systemd.
"""

from dataclasses import dataclass
from typing import Mapping, Optional, Sequence, Tuple


@dataclass(frozen=True)
class Owner:
    """A user and a group, by their numbers."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Move:
    """A directory that changes hands, with all in it that belongs to one of the givers."""

    path: str
    givers: Tuple[Owner, ...]  # the first one had it before
    taker: Owner


Owners = Mapping[str, Owner]  # by path


def due(
    wanted: Owners, known: Sequence[Owners], present: Owners, begun: Sequence[Move]
) -> Tuple[Move, ...]:
    """Return the moves that lead from `present` to `wanted`.

    Only what a release of the app has had (`known`) is taken from anybody. A directory that is not
    wanted any more goes back to whom it belonged to.
    """
    unfinished = {move.path: move for move in begun}
    back = {path: move.givers[0] for path, move in unfinished.items()}
    found = []
    for path, taker in {**back, **wanted}.items():
        move, now = unfinished.get(path), present.get(path)
        givers = [*move.givers, move.taker] if move else []
        if now not in (None, taker):
            givers += [each[path] for each in known if path in each and _same_user(each[path], now)]
        givers = [giver for giver in dict.fromkeys(givers) if giver != taker]
        if givers:
            found.append(Move(path, tuple(givers), taker))
    return tuple(found)


def _same_user(one: Owner, other: Optional[Owner]) -> bool:
    return other is not None and one.uid == other.uid

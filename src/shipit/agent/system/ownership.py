"""Decide which directories change their owner when the services get another user or group. Pure.

systemd chowns a service's directories, with all content, when it starts. That is too late for a
release that runs beside its predecessor, omits `shared/`, and includes files that have another
hard link elsewhere. So the switch chowns them itself (`host.trees.chown`). The users of
`DynamicUser=` are left to systemd.
"""

from typing import Mapping, Sequence, Tuple

from ..protocol.values import dataclass


@dataclass(frozen=True)
class Owner:
    """A user and a group, by their numbers."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Move:
    """A directory that changes its owner, with all content that belongs to one of the givers."""

    path: str
    givers: Tuple[Owner, ...]  # the first one is the present owner
    taker: Owner


Owners = Mapping[str, Owner]  # by path


def due(
    wanted: Owners, known: Sequence[Owners], present: Owners, begun: Sequence[Move]
) -> Tuple[Move, ...]:
    """Return the moves that lead from `present` to `wanted`.

    Takes a directory only from owners of the app's releases (`known`). A directory that is no
    longer wanted returns to its former owner.
    """
    unfinished = {move.path: move for move in begun}
    back = {path: move.givers[0] for path, move in unfinished.items()}
    found = []
    for path, taker in {**back, **wanted}.items():
        move, now = unfinished.get(path), present.get(path)
        givers = [*move.givers, move.taker] if move else []
        if now is not None and now != taker:
            owners = (each[path] for each in known if path in each)
            givers += [owner for owner in owners if owner.uid == now.uid]
        givers = [giver for giver in dict.fromkeys(givers) if giver != taker]
        if givers:
            found.append(Move(path, tuple(givers), taker))
    return tuple(found)

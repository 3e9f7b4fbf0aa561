"""Find the wanted and the present owners of a release's directories. Changes nothing."""

from typing import Dict, Optional, Sequence, Tuple

from ..host.host import Host
from ..protocol.manifest import Manifest
from ..records import releases
from ..system import accounts
from ..system.ownership import Move, Owner, due
from ..system.paths import Paths
from . import names


def moves(
    paths: Paths, host: Host, wanted: Optional[Manifest], begun: Sequence[Move]
) -> Tuple[Move, ...]:
    """Return the changes of owner that give a release, or none, its directories.

    `begun`: the changes of an earlier switch, which may be done in part.
    """
    owners = owners_of(paths, wanted) if wanted else {}
    there = (releases.manifest(paths, release) for release in releases.listed(paths))
    known = [owners_of(paths, release) for release in there if release is not None]
    found = {path: host.owner(path) for path in owners}
    present = {path: Owner(*owner) for path, owner in found.items() if owner is not None}
    return due(owners, known, present, begun)


def owners_of(paths: Paths, release: Manifest) -> Dict[str, Owner]:
    """Return the owner of each directory of a release, without those whose user is unknown."""
    given = [] if release.adopted is not None else [(paths.shared, owner(release.user))]
    wanted = names.wanted(releases.unit_texts(paths, release))
    given += [(each.path, owner(each.user, each.group)) for each in wanted]
    found: Dict[str, Owner] = {}
    for path, whose in given:
        if whose is not None:
            found.setdefault(path, whose)
    return found


def owner(user: str, group: str = "") -> Optional[Owner]:
    """Return the ids of a user and a group, by default the user's own; None if there are none."""
    account = accounts.user(user)
    gid = accounts.group_id(group) if group else account and account.pw_gid
    return None if account is None or gid is None else Owner(account.pw_uid, gid)

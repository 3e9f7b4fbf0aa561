"""Find canaries that the inventory does not have: without them, nothing would be held."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shipit.errors import Mistake, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shipit.inventory.model import Host
    from shipit.playbook.canary.models import Canary
    from shipit.playbook.reader import Draft


def unknown(draft: Draft, canary: Canary | None, host: Host) -> Iterator[Mistake]:
    """Yield a mistake for each name that is no host and no group of this host's inventory.

    `--limit` may leave them out: then nothing is held, and the run says so.
    """
    groups = host.magic.get("groups")
    known = {*host.peers, *(groups if isinstance(groups, dict) else ())}
    for name in canary.hosts if canary and isinstance(canary.hosts, tuple) else ():
        if name not in known:
            what = f"the canary {name} is no host and no group of the inventory"
            hint = nearest(name, known) or "write the name of a host or a group, or a number"
            yield Mistake("unknown-canary", what, draft.place(("canary",)), hint)

"""Read what hosts' ledgers tell of their last attempts, and judge by it what brought each back.

Promises that a release which went back for another reason does not pass for one that the lease
brought back. It changes nothing on a machine.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shipit.rehearsal.scenario import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shipit.rehearsal.providers.base import Machines

LEASE_EXPIRED = "[lease-expired]"  # how a failure of that kind begins
_UNSWITCHED = "failed"  # the outcome of an attempt that ended before its switch


@dataclass(frozen=True)
class Attempt:
    """One line of a ledger."""

    txn: str = ""
    outcome: str = ""
    failure: str = ""


def newest(machines: Machines, machine: str, root: str) -> Attempt:
    """Return the last line of the ledger of the app that lies in `root`; an empty one for none.

    Raises:
        LabError: the machine can't be asked.
    """
    path = f"{root}/ledger.jsonl"  # as docs/host.md names it
    last = machines.run(machine, "tail", "-n", "1", path).stdout
    line = json.loads(last) if last else {}
    return Attempt(*(str(line.get(key, "")) for key in ("txn", "outcome", "failure")))


def otherwise(fault: Fault, struck: str, attempts: Mapping[str, Attempt]) -> tuple[str, ...]:
    """Return which hosts went back otherwise than by their lease, where that has to do it.

    Args:
        fault: what happened.
        struck: the host in whose gate it happened.
        attempts: what each host wrote down since the deploy began; hosts that wrote nothing are
            left out.
    """
    if not fault.is_left_to_the_lease:
        return ()
    switched = [host for host, each in attempts.items() if each.outcome != _UNSWITCHED]
    hit = dict.fromkeys([struck, *(switched if fault is Fault.CONTROLLER else ())])
    told = {host: attempts.get(host, Attempt()).failure for host in hit}
    return tuple(
        f"{host}: it was not its lease that brought it back: {failure or 'no word in its ledger'}"
        for host, failure in told.items()
        if not failure.startswith(LEASE_EXPIRED)
    )

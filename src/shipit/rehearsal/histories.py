"""Read the last attempt from the history of each host, and check what caused its rollback.

A rollback for another reason does not count as one by the lease. Changes nothing on a machine.
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
_UNSWITCHED = (
    "discarded",
    "failed",
)  # the outcome of an attempt that ended before its switch, also in earlier versions
_NO_ATTEMPT = "nothing in its history"


@dataclass(frozen=True)
class Attempt:
    """One line of a host's history."""

    txn: str = ""
    outcome: str = ""
    failure: str = ""


def newest(machines: Machines, machine: str, root: str) -> Attempt:
    """Return the last line of the history of the app in `root`; an empty Attempt if there is none.

    Raises:
        LabError: the machine can't be reached.
    """
    path = f"{root}/ledger.jsonl"  # as docs/host.md names it
    last = machines.run(machine, "tail", "-n", "1", path).stdout
    line = json.loads(last) if last else {}
    return Attempt(*(str(line.get(key, "")) for key in ("txn", "outcome", "failure")))


def not_by_lease(
    fault: Fault, host_at_fault: str, attempts: Mapping[str, Attempt]
) -> tuple[str, ...]:
    """Return a message for each host that should have rolled back by its lease and did not.

    Args:
        fault: what happened.
        host_at_fault: the host in whose gate it happened.
        attempts: the attempts recorded since the deploy began; hosts without one are left out.
    """
    if not fault.is_left_to_the_lease:
        return ()
    hit = [host_at_fault]
    if fault is Fault.CONTROLLER:
        hit += [host for host, each in attempts.items() if each.outcome not in _UNSWITCHED]
    failures = {host: attempts.get(host, Attempt()).failure for host in hit}
    return tuple(
        f"{host}: rolled back, but not because its lease expired: {failure or _NO_ATTEMPT}"
        for host, failure in failures.items()
        if not failure.startswith(LEASE_EXPIRED)
    )

"""The record that this host is out of its load balancer.

It is there from before the host is drained until it is undrained, whatever ends the transaction in
between.
"""

import json
from contextlib import suppress
from dataclasses import replace
from typing import List, Optional, Sequence, Set, Tuple

from ..protocol.answers import Result
from ..protocol.balancers import Drained, LoadBalancer, Place
from ..protocol.codec import from_json, parse, to_json
from ..system import files
from ..system.paths import Paths
from .history import Entry, outcome_of

LIMIT = 1024 * 1024  # bytes
MODE = 0o600
MOST = 8  # load balancers in a record
COMMANDS = ("commands",)
UNKNOWN = "unknown"
OVER = (Result.COMMITTED, Result.ROLLED_BACK, Result.DISCARDED)  # a healthy release runs


def read(paths: Paths) -> Optional[Drained]:
    """Return the record; None if this host is not drained.

    One that cannot be read is a record as well: the next deploy undrains the host.
    """
    try:
        return from_json(Drained, parse(files.read_own(paths.drained, LIMIT)))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, files.NotOurs) as error:
        problem = f"{paths.drained} cannot be read: {error}"
        return Drained("", UNKNOWN, "deploy", UNKNOWN, "", LoadBalancer(0.0), problem)


def write(paths: Paths, record: Drained) -> None:
    """Put the record on the disk."""
    files.write(paths.drained, json.dumps(to_json(record)).encode(), MODE)


def remove(paths: Paths) -> None:
    """Remove the record. If the disk refuses, the next session undrains the host once more."""
    with suppress(OSError):
        files.unlink(paths.drained)


def begun(record: Optional[Drained], wanted: Drained, history: Sequence[Entry]) -> Drained:
    """Return the record of a host that `wanted.txn` is about to drain. Pure.

    Of a host that is out already because no healthy release runs there, the transaction stays: this
    one does not undrain it if it changes nothing. What is recorded stays as well, until it is
    undrained.
    """
    if record is None or record.txn == UNKNOWN:
        return wanted
    owner = replace(wanted, since=record.since) if is_overdue(record, history) else record
    return of_places(owner, merged((*wanted.places, *record.places)))


def of_places(record: Drained, places: Sequence[Place]) -> Drained:
    """Return the record with these load balancers, of which there is at least one."""
    first, *others = places
    return replace(record, release=first.release, balancer=first.balancer, others=tuple(others))


def merged(places: Sequence[Place]) -> Tuple[Place, ...]:
    """Return what each of them has besides those before it. Pure.

    All commands are of one load balancer: those of a newer release stand for those before.
    """
    found: List[Place] = []
    seen: Set[Tuple[str, ...]] = set()
    for place in places:
        haproxy = place.balancer.haproxy
        if haproxy is None:
            if place.balancer.undrain is not None and COMMANDS not in seen:
                found.append(place)
                seen.add(COMMANDS)
            continue
        sockets = tuple(each for each in haproxy.sockets if (each, haproxy.name) not in seen)
        seen.update((each, haproxy.name) for each in sockets)
        if sockets:
            rest = replace(place.balancer, haproxy=replace(haproxy, sockets=sockets))
            found.append(replace(place, balancer=rest))
    return tuple(found[:MOST])


def is_overdue(record: Drained, history: Sequence[Entry]) -> bool:
    """Whether the host should serve again: its transaction is over, and a healthy release runs."""
    return outcome_of(history, record.txn) in OVER

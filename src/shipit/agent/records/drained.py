"""The record that this host is out of its load balancer.

It is there from before the host is drained until it is undrained, whatever ends the transaction in
between.
"""

import json
from contextlib import suppress
from dataclasses import replace
from typing import Optional, Sequence

from ..protocol.answers import Result
from ..protocol.balancers import Drained, LoadBalancer
from ..protocol.codec import from_json, parse, to_json
from ..system import files
from ..system.paths import Paths
from .history import Entry, outcome_of

LIMIT = 1024 * 1024  # bytes
MODE = 0o600
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

    Of a host that is out already because no healthy release runs there, the record stays: that
    transaction does not undrain it if it changes nothing.
    """
    if record is None:
        return wanted
    if not is_overdue(record, history):
        return record
    return replace(wanted, since=record.since)


def is_overdue(record: Drained, history: Sequence[Entry]) -> bool:
    """Whether the host should serve again: its transaction is over, and a healthy release runs."""
    return outcome_of(history, record.txn) in OVER

"""Measure one command: time, CPU and memory here, CPU on the hosts, and what goes over the wire."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from bench.site import Site
    from bench.tools.base import Call

LIMIT, ENDING = 900.0, 30.0  # seconds


class Failed(Exception):
    """A tool did not do what it was to do."""


@dataclass(frozen=True)
class Figures:
    """What one run took; of the hosts and the wire, the sum of all.

    Attributes:
        seconds: of wall time.
        cpu: seconds of the controller, with all its processes.
        host_cpu: seconds of the hosts, until they are at rest again.
        memory: MB, the largest process of the controller.
        sent, received: bytes of the controller's connections.
        turns: how often the controller spoke after a host had.
    """

    seconds: float
    cpu: float
    host_cpu: float
    memory: float
    sent: int
    received: int
    turns: int
    connections: int


def measured(call: Call, folder: Path, site: Site, *, fails: bool = False) -> Figures:
    """Run a command; `fails` is whether it should.

    Raises:
        Failed: it ended otherwise, with its output.
    """
    site.rest()
    site.count_from_zero()
    before, opened = site.cpu(), site.connections
    log = folder / "output.txt"
    environment = {**os.environ, **call.environment}
    with log.open("w") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            call.argv,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        watch = threading.Timer(LIMIT, process.kill)
        watch.start()
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        watch.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    if (process.returncode != 0) is not fails:
        raise Failed(f"{' '.join(call.argv)} ended with {process.returncode}:\n{log.read_text()}")
    for command in call.after:
        subprocess.run(command, check=False, capture_output=True, timeout=ENDING)
    site.rest()
    relays = site.relays.values()
    return Figures(
        seconds=seconds,
        cpu=used.ru_utime + used.ru_stime,
        host_cpu=site.cpu() - before,
        memory=used.ru_maxrss / 1024,
        sent=sum(relay.sent for relay in relays),
        received=sum(relay.received for relay in relays),
        turns=sum(relay.turns for relay in relays),
        connections=site.connections - opened,
    )

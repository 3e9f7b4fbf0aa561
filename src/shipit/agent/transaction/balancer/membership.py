"""Drain and undrain this host in the load balancer of a release: in haproxy, or by commands.

Both may be repeated at any time. Records nothing: see `records.drained`.
"""

from dataclasses import replace
from typing import Iterator, Optional, Sequence

from ...protocol.balancers import Drained, LoadBalancer
from ...protocol.hooks import Hook, HookOutput
from ...protocol.manifest import Manifest
from ...protocol.messages import Failure
from ...records import releases
from ...system.failures import Refused
from ...system.paths import Paths
from ..hooks.command import Run, execute
from . import haproxy
from .haproxy import STEP

DRAIN, UNDRAIN = "drain", "undrain"
TRIES = 3  # of a command that undrains
PAUSE = 1.0  # seconds between them


def of_one(
    paths: Paths, candidates: Sequence[str], record: Optional[Drained]
) -> Optional[Manifest]:
    """Return the first of some releases that has a load balancer; None for none.

    If none has one, but this host is drained, the first release stands in with that load balancer.
    """
    for manifest in _there(paths, candidates):
        if manifest.balancer is not None:
            return manifest
    return of_record(paths, candidates, record) if record is not None else None


def of_record(paths: Paths, candidates: Sequence[str], record: Drained) -> Optional[Manifest]:
    """Return the first of some releases, with the load balancer that this host is out of."""
    for manifest in _there(paths, candidates):
        return replace(manifest, balancer=record.balancer)
    return None


def _there(paths: Paths, candidates: Sequence[str]) -> Iterator[Manifest]:
    for release in candidates:
        manifest = releases.manifest(paths, release)
        if manifest is not None:
            yield manifest


def described(balancer: LoadBalancer) -> str:
    """Return what the load balancer is, for the report of a step."""
    if balancer.haproxy is not None:
        return f"{balancer.haproxy.name} in haproxy at {', '.join(balancer.haproxy.sockets)}"
    return " ".join(balancer.drain.command) if balancer.drain else "nothing"


def look(of: Run, balancer: LoadBalancer) -> None:
    """Check as far as possible that this host can be drained, before anything is changed.

    Raises:
        Refused: it can't.
    """
    if balancer.haproxy is not None:
        haproxy.look(of.host, balancer.haproxy)


def drain(of: Run, balancer: LoadBalancer) -> None:
    """Take this host out, and wait for its connections to end.

    Raises:
        Refused: haproxy-*, drain-failed; or it was interrupted.
    """
    if balancer.haproxy is not None:
        left = haproxy.drain(of.host, balancer.haproxy, balancer.wait, of.interrupted)
        if left:
            text = f"{left} connections were left after {balancer.wait:g} s"
            of.emit(HookOutput(DRAIN, text))
    elif balancer.drain is not None:
        failure = _failure(of, balancer.drain)
        if failure is not None:
            raise Refused(failure)


def undrain(of: Run, balancer: LoadBalancer, *, patient: bool = True) -> None:
    """Put this host back, and wait until the load balancer uses it, as far as it says so.

    `patient`: try again for a while.

    Raises:
        Refused: haproxy-*, undrain-failed; or it was interrupted.
    """
    if balancer.haproxy is not None:
        within = haproxy.UP_WITHIN if patient else haproxy.TIMEOUT
        haproxy.undrain(of.host, balancer.haproxy, within, of.interrupted)
    elif balancer.undrain is not None:
        failure = _failure(of, balancer.undrain)
        for _ in range(TRIES - 1 if patient else 0):
            if failure is not None:
                of.host.sleep(PAUSE)
                failure = _failure(of, balancer.undrain)
        if failure is not None:
            raise Refused(failure)


def _failure(of: Run, hook: Hook) -> Optional[Failure]:
    """Run a command in the unit of hooks, which an interrupted one may have left running.

    Raises:
        Refused: it was interrupted, or it can't be run at all.
    """
    of.host.systemctl("stop", [of.paths.hook_unit])  # fails if there is none: fine
    done = execute(of, hook)
    if done.ok:
        return None
    what = f"the command to {hook.name} this host {done.end(hook.timeout)}"
    hint = "see its output; it is run again until it succeeds, so it must bear that"
    if hook.name == DRAIN:
        return Failure("drain-failed", what, STEP, hint, done.output)
    return Failure("undrain-failed", what, STEP, hint, done.output)

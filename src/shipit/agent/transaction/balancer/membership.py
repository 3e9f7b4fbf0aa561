"""Drain and undrain this host in the load balancer of a release: in haproxy, or by commands.

Both may be repeated at any time. Records nothing: see `records.drained`.
"""

from dataclasses import replace
from typing import Iterator, Optional, Sequence

from ...protocol.balancers import LoadBalancer, Place
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


def newest(paths: Paths, candidates: Sequence[str]) -> Optional[Manifest]:
    """Return the first of some releases that has a load balancer; None for none."""
    having = (each for each in _there(paths, candidates) if each.balancer is not None)
    return next(having, None)


def ways_back(
    paths: Paths, place: Place, running: str, candidates: Sequence[str]
) -> Sequence[Manifest]:
    """Return the releases whose load balancer puts this host back, the best first.

    `running`: the release whose commands are tried before those that have failed; "" for none.
    `candidates`: the first of them that is here stands in for a release that is gone.
    """
    own = next(_there(paths, (place.release, *candidates)), None)
    found = [] if own is None else [replace(own, balancer=place.balancer)]
    if place.balancer.haproxy is None:
        better = next(_there(paths, (running,)), None)
        if better is not None and better.balancer is not None and better.balancer.undrain:
            return [better, *(each for each in found if each.balancer != better.balancer)]
    return found


def _there(paths: Paths, candidates: Sequence[str]) -> Iterator[Manifest]:
    for release in candidates:
        manifest = releases.manifest(paths, release)
        if manifest is not None:
            yield manifest


def described(balancer: LoadBalancer, step: str) -> str:
    """Return what the load balancer is, for the report of a step."""
    if balancer.haproxy is not None:
        return f"{balancer.haproxy.name} in haproxy at {', '.join(balancer.haproxy.sockets)}"
    hook = balancer.drain if step == DRAIN else balancer.undrain
    return " ".join(hook.command) if hook else "no load balancer"


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
            text = f"connections left after {balancer.wait:g} s: {left}"
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

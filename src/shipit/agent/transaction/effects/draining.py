"""Drain this host before its units are stopped, and undrain it once a healthy release runs.

The record of it is on the disk before anything is changed. `drain` and `undrain` return why they
failed; the caller decides whether that counts.
"""

from contextlib import suppress
from dataclasses import replace
from typing import Callable, Optional

from ...protocol.balancers import Drained, LoadBalancer
from ...protocol.messages import Failure, StepBegan, StepEnded, StepFailed
from ...records import drained, history
from ...system.failures import Refused, from_os_error
from ..balancer import membership
from ..balancer.haproxy import STEP
from ..balancer.membership import DRAIN, UNDRAIN
from ..hooks.command import Interrupted, Run, uninterrupted
from ..journal import Journal
from .context import EffectContext


def drain(
    context: EffectContext,
    open_: Journal,
    interrupted: Interrupted = uninterrupted,
    *,
    lenient: bool = False,
) -> Optional[Failure]:
    """Take this host out of its load balancer; return why that failed.

    `lenient`: as far as possible, also where one of several haproxies does not answer, or the disk
    does not take the record.

    Raises:
        OSError: it could not be recorded, and was not begun.
    """
    of = _run(context, open_, DRAIN, interrupted)
    if of is None or of.of.balancer is None:
        return None
    balancer = of.of.balancer

    def drained_and_recorded() -> Optional[Failure]:
        failure = None if lenient else _failure_of(lambda: membership.look(of, balancer))
        if failure is not None:
            return failure
        with suppress(*((OSError,) if lenient else ())):
            _record(context, open_, of.of.id, balancer)
        return _failure_of(lambda: membership.drain(of, balancer))

    return _step(of, DRAIN, balancer, drained_and_recorded)


def undrain(
    context: EffectContext, open_: Journal, interrupted: Interrupted = uninterrupted
) -> Optional[Failure]:
    """Put this host back, and remove the record; return why that failed."""
    of = _run(context, open_, UNDRAIN, interrupted)
    if of is None or of.of.balancer is None:
        return None
    balancer = of.of.balancer
    failure = _step(
        of, UNDRAIN, balancer, lambda: _failure_of(lambda: membership.undrain(of, balancer))
    )
    if failure is None:
        drained.remove(context.paths)
        return None
    made = _made(context, open_, of.of.id, balancer)
    since = (drained.read(context.paths) or made).since
    problem = f"[{failure.code}] {failure.what}"
    with suppress(OSError):  # the record from before it was drained stays
        drained.write(context.paths, replace(made, since=since, problem=problem))
    return failure


def drain_or_report(context: EffectContext, open_: Journal) -> None:
    """Drain on the way back, which depends on nothing, and ends with an undrain in any case."""
    failure = drain(context, open_, lenient=True)
    _report(context, failure, "its units are stopped nevertheless")


def undrain_or_report(context: EffectContext, open_: Journal) -> None:
    """Undrain where the outcome stands, whether that succeeds or not."""
    failure = undrain(context, open_)
    _report(context, failure, "this host stays out until the next session or deploy tries again")


def _report(context: EffectContext, failure: Optional[Failure], then: str) -> None:
    if failure is not None:
        context.emit(StepFailed(replace(failure, what=f"{failure.what}; {then}")))


def _run(
    context: EffectContext, open_: Journal, when: str, interrupted: Interrupted
) -> Optional[Run]:
    """Return what runs in the release whose load balancer counts: the newest, or the recorded one.

    A rollback leaves the newer release.
    """
    newest = (open_.previous, open_.release) if open_.is_rollback else (open_.release,)
    record = drained.read(context.paths)
    found = membership.of_one(context.paths, newest, record)
    if found is None and record is not None:
        found = membership.of_one(context.paths, (open_.previous, record.release), record)
    if found is None:
        return None
    return Run(context.store, context.emit, found, when, interrupted)


def _step(
    of: Run, name: str, balancer: LoadBalancer, act: Callable[[], Optional[Failure]]
) -> Optional[Failure]:
    began = of.host.now()
    of.emit(StepBegan(name, membership.described(balancer)))
    failure = act()
    of.emit(StepEnded(name, of.host.now() - began, ok=failure is None))
    return failure


def _failure_of(act: Callable[[], None]) -> Optional[Failure]:
    """Return why something failed; it may be that this host can start no process just now."""
    try:
        act()
    except Refused as refused:
        return refused.failure
    except OSError as error:
        return from_os_error(error, STEP)
    return None


def _record(context: EffectContext, open_: Journal, release: str, balancer: LoadBalancer) -> None:
    paths = context.paths
    made = _made(context, open_, release, balancer)
    before = drained.read(paths)
    drained.write(paths, drained.begun(before, made, history.entries(paths)))


def _made(context: EffectContext, open_: Journal, release: str, balancer: LoadBalancer) -> Drained:
    attempt, now = open_.attempt, history.utc(context.host.wall())
    return Drained(now, open_.txn, attempt.what, attempt.who, release, balancer)

"""Drain this host before its units are stopped, and undrain it once a healthy release runs.

The record of it is on the disk before anything is changed. `drain` and `undrain` return why they
failed; the caller decides whether that counts.
"""

from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Callable, List, Optional, Sequence, Tuple

from ...protocol.balancers import Drained, LoadBalancer, Place
from ...protocol.messages import Failure, StepBegan, StepEnded, StepFailed
from ...records import drained, history
from ...system.failures import Refused, from_os_error
from ..balancer import membership
from ..balancer.haproxy import FINAL, STEP, NoneDrained
from ..balancer.membership import DRAIN, UNDRAIN
from ..hooks.command import Interrupted, Run, uninterrupted
from ..journal import Journal
from ..states import State
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
    newest = membership.newest(context.paths, _candidates(open_))
    if newest is None or newest.balancer is None:
        return None
    of, balancer = Run(context.store, context.emit, newest, DRAIN, interrupted), newest.balancer

    def drained_and_recorded() -> Optional[Failure]:
        failure = None if lenient else _failure_of(lambda: membership.look(of, balancer))
        if failure is not None:
            return failure
        before = drained.read(context.paths)
        with suppress(*((OSError,) if lenient else ())):
            _record(context, open_, of.of.id, balancer, before)
        return _failure_of(partial(_drain_or_forget, of, balancer, before))

    return _step(of, DRAIN, balancer, drained_and_recorded)


def _drain_or_forget(of: Run, balancer: LoadBalancer, before: Optional[Drained]) -> None:
    try:
        membership.drain(of, balancer)
    except NoneDrained:
        if before is None:
            drained.remove(of.paths)  # it is not out
        raise


def undrain(
    context: EffectContext, open_: Journal, interrupted: Interrupted = uninterrupted
) -> Optional[Failure]:
    """Put this host back wherever it may be out, and remove the record; return why that failed.

    Only the first load balancer counts, that of the newest release; others are reported, and stay
    on record.
    """
    record = drained.read(context.paths)
    places = _places(context, open_, record)
    if not places:
        return _unknown(record) if record is not None else None
    failed: List[Tuple[Place, Failure]] = []
    for place in places:
        failure = _undrained(context, open_, place, interrupted, patient=place is places[0])
        if failure is not None:
            failed.append((place, failure))
    if not failed:
        drained.remove(context.paths)
        return None
    if record is not None or failed[0][1].code not in FINAL:  # else it has never been out
        _record_failed(context, open_, record, failed)
    if failed[0][0] is places[0]:
        return failed[0][1]
    _report(context, failed[0][1], "this host stays out there")
    return None


def _undrained(
    context: EffectContext,
    open_: Journal,
    place: Place,
    interrupted: Interrupted,
    *,
    patient: bool,
) -> Optional[Failure]:
    """Put this host back into one load balancer; return why every way has failed."""
    running = "" if open_.state is State.CHECK else open_.previous
    candidates = (open_.previous, open_.release)
    failure: Optional[Failure] = None
    for way in membership.ways_back(context.paths, place, running, candidates):
        of, balancer = Run(context.store, context.emit, way, UNDRAIN, interrupted), way.balancer
        if balancer is not None:
            act = partial(membership.undrain, of, balancer, patient=patient)
            failure = _step(of, UNDRAIN, balancer, partial(_failure_of, act))
        if failure is None:
            return None
    return failure


def _record_failed(
    context: EffectContext,
    open_: Journal,
    record: Optional[Drained],
    failed: Sequence[Tuple[Place, Failure]],
) -> None:
    (first, failure), places = failed[0], [place for place, _ in failed]
    made = drained.of_places(_made(context, open_, first.release, first.balancer), places)
    since, problem = (record or made).since, f"[{failure.code}] {failure.what}"
    with suppress(OSError):  # the record from before it was drained stays
        drained.write(context.paths, replace(made, since=since, problem=problem))


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


def _candidates(open_: Journal) -> Tuple[str, ...]:
    """Return whose load balancer counts, the newest release first: a rollback leaves the newer."""
    return (open_.previous, open_.release) if open_.is_rollback else (open_.release,)


def _places(context: EffectContext, open_: Journal, record: Optional[Drained]) -> Sequence[Place]:
    """Return what this host may be out of: the newest release's load balancer, and the record's."""
    candidates = _candidates(open_)
    if record is not None and not drained.merged(record.places):
        candidates = (*candidates, open_.previous)  # the record cannot be read
    newest = membership.newest(context.paths, candidates)
    wanted = [Place(newest.id, newest.balancer)] if newest and newest.balancer else []
    return drained.merged((*wanted, *(record.places if record else ())))


def _unknown(record: Drained) -> Failure:
    what = f"this host may be out of a load balancer that nobody knows: {record.problem}"
    hint = "put this host back by hand, then remove that file"
    return Failure("drained-unknown", what, STEP, hint)


def _step(
    of: Run, name: str, balancer: LoadBalancer, act: Callable[[], Optional[Failure]]
) -> Optional[Failure]:
    began = of.host.now()
    of.emit(StepBegan(name, membership.described(balancer, name)))
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


def _record(
    context: EffectContext,
    open_: Journal,
    release: str,
    balancer: LoadBalancer,
    before: Optional[Drained],
) -> None:
    made = _made(context, open_, release, balancer)
    entries = history.entries(context.paths)
    drained.write(context.paths, drained.begun(before, made, entries))


def _made(context: EffectContext, open_: Journal, release: str, balancer: LoadBalancer) -> Drained:
    attempt, now = open_.attempt, history.utc(context.host.wall())
    return Drained(now, open_.txn, attempt.what, attempt.who, release, balancer)

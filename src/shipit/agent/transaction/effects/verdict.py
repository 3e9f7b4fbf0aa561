"""The verdict on a healthy release: wait for it, and ask whether it is time to roll back."""

from typing import Optional

from ...health import gate
from ...health.gate import Context
from ...protocol import refusals
from ...protocol.controls import ABORT
from ...protocol.messages import Failure, Healthy
from ...records import holds
from ..journal import Journal
from ..states import State
from ..store import COMMIT, EXPIRED, REVERT
from .context import EffectContext

UNITS_INTERVAL = 0.5  # seconds between unit checks while waiting for the verdict
VERDICT_PAUSE = 0.02  # seconds
BY_HOST = "host"  # who confirms a release: protocol.Activate.confirm


def confirm(context: EffectContext, open_: Journal, watched: Context) -> Optional[Failure]:
    """Commit if the host confirms by itself; otherwise wait for the verdict."""
    if open_.confirm == BY_HOST:
        context.store.claim(open_.txn, COMMIT)
        return rollback_reason(context, open_)
    context.emit(Healthy(open_.txn, open_.release))
    return _await_verdict(context, open_, watched)


def _await_verdict(context: EffectContext, open_: Journal, watched: Context) -> Optional[Failure]:
    """Wait for the verdict; return why to roll back, or None for a commit."""
    host = context.host
    checked_at = host.now()
    while context.store.verdict(open_.txn) != COMMIT:
        failure = rollback_reason(context, open_)
        if failure is None and host.now() - checked_at >= UNITS_INTERVAL:
            failure, checked_at = gate.check_units(host, watched), host.now()
        if failure is not None:
            return failure
        host.sleep(VERDICT_PAUSE)
    return None


def rollback_reason(context: EffectContext, open_: Journal) -> Optional[Failure]:
    """Return why to roll back, or None. A host that confirms by itself needs no controller."""
    verdict, step = context.store.verdict(open_.txn), State.CHECK.value
    if verdict == REVERT:
        back = Failure("called-back", "the controller requested a rollback", step)
        return _aborted(context, open_) or back
    if open_.confirm == BY_HOST:
        return None
    if not verdict and context.store.lease_has_expired(open_.txn):
        hint = "the controller did not renew the lease in time (confirm_timeout)"
        expired = Failure(EXPIRED, "nobody confirmed the release", step, hint)
        return _aborted(context, open_) or expired
    return None


def _aborted(context: EffectContext, open_: Journal) -> Optional[Failure]:
    """Return who has aborted this canary; its controller may have died before it acted on that."""
    said = holds.canary(holds.said(context.paths), open_.txn)
    if said is None or said.what != ABORT:
        return None
    return refusals.of_abort(said, State.CHECK.value)

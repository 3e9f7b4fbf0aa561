"""What a session does: receive the blobs of a release, build it, and make its static files."""

from dataclasses import replace

from ...protocol import hooks
from ..hooks import assets
from ..hooks.command import Run
from ..journal import Journal
from ..states import Ending
from .context import EffectContext, Ended, Staging, wanted_of
from .hooked import hooked


def receive(context: EffectContext, _open: Journal) -> Ended:
    """Verify that all blobs have arrived, and that the release can be built."""
    _staging(context).receive()
    return Ended()


def build(context: EffectContext, open_: Journal) -> Ended:
    """Build and verify the release's directory."""
    staging = _staging(context)
    staging.build()
    context = replace(context, emit=staging.emit)
    of = Run(context.store, context.emit, wanted_of(context.paths, open_), hooks.STAGED)
    open_, failure = assets.stage(of, open_)
    if failure is not None:
        return Ended(Ending.ERROR, failure, {"hooks": open_.hooks})
    return hooked(context, open_, hooks.STAGED)


def _staging(context: EffectContext) -> Staging:
    if context.staging is None:
        raise RuntimeError("only a session stages: after a crash the release is discarded")
    return context.staging

"""What a session does: receive the blobs of a release, and build it."""

from dataclasses import replace

from ...protocol import hooks
from ..journal import Journal
from .context import EffectContext, Ended, Staging
from .hooked import hooked


def receive(context: EffectContext, _open: Journal) -> Ended:
    """Verify that all blobs have arrived, and that the release can be built."""
    _staging(context).receive()
    return Ended()


def build(context: EffectContext, open_: Journal) -> Ended:
    """Build and verify the release's directory."""
    staging = _staging(context)
    staging.build()
    return hooked(replace(context, emit=staging.emit), open_, hooks.STAGED)


def _staging(context: EffectContext) -> Staging:
    if context.staging is None:
        raise RuntimeError("only a session stages: after a crash the release is discarded")
    return context.staging

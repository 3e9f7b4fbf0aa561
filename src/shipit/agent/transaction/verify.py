"""Prove before a switch that what is switched to is whole, and that there is a way back.

Reads a few small files. Not every byte of a venv: that takes seconds, and `status` does it.
"""

from typing import Optional

from ..activation import switch, trial
from ..protocol.manifest import Manifest
from ..protocol.messages import Failure
from ..storage import drift
from ..system.failures import Refused
from ..system.paths import Paths

SHOWN = 3  # sentences about what is not whole


def target(paths: Paths, wanted: Manifest, *, is_rollback: bool) -> None:
    """Let no release be switched to that is not whole; one that was just staged has been verified.

    Raises:
        Refused: release-damaged.
    """
    switch.texts_of(paths, wanted)
    if is_rollback:
        _refuse_damaged(paths, wanted)
    else:
        trial.texts_of(paths, wanted)


def _refuse_damaged(paths: Paths, wanted: Manifest) -> None:
    wrong = [each.what for each in drift.quick(paths, wanted)]
    if wrong:
        more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        what = f"release {wanted.id} is damaged: {'; '.join(wrong[:SHOWN])}{more}"
        hint = (
            "make it anew by a deploy of that version: shipit deploy PLAYBOOK --allow-older;"
            " or go back to another one (--to; shipit releases lists them)"
        )
        raise Refused(Failure("release-damaged", what, "", hint))


def rollback_target(paths: Paths, running: Optional[Manifest]) -> None:
    """Let nothing be switched while the running release could not be gone back to.

    Its units are put right from the installed ones where those are still as its manifest has them.

    Raises:
        Refused: release-damaged.
    """
    if running is None:
        return  # nothing runs; or its manifest is lost, and only another release can mend that
    switch.restore_texts(paths, running)
    switch.texts_of(paths, running)

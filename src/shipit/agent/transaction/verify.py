"""Check before a switch that its target is intact, and that a rollback is possible.

Reads a few small files. `status` compares every byte of a venv, which takes seconds.
"""

from typing import Optional

from ..activation import switch, trial
from ..protocol.manifest import Manifest
from ..protocol.messages import Failure
from ..system.failures import Refused
from ..system.paths import Paths

SHOWN = 3  # sentences about the damage


def target(paths: Paths, wanted: Manifest, *, is_rollback: bool) -> None:
    """Refuse a switch to a damaged release; one that was just staged has been verified.

    Raises:
        Refused: release-damaged.
    """
    switch.texts_of(paths, wanted)
    if is_rollback:
        _refuse_damaged(paths, wanted)
    else:
        trial.texts_of(paths, wanted)


def _refuse_damaged(paths: Paths, wanted: Manifest) -> None:
    from ..storage import drift  # noqa: PLC0415 - imports cost time

    wrong = [each.what for each in drift.quick(paths, wanted)]
    if wrong:
        more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        what = f"release {wanted.id} is damaged: {'; '.join(wrong[:SHOWN])}{more}"
        hint = (
            "deploy that version again: shipit deploy PLAYBOOK --allow-older;"
            " or roll back to another release (--to; shipit releases lists them)"
        )
        raise Refused(Failure("release-damaged", what, "", hint))


def rollback_target(paths: Paths, running: Optional[Manifest]) -> None:
    """Refuse a switch while a rollback to the running release is not possible.

    Restores its units from the installed ones where those still match its manifest.

    Raises:
        Refused: release-damaged.
    """
    if running is None:
        return  # nothing runs, or its manifest is lost: only another release fixes that
    switch.restore_texts(paths, running)
    switch.texts_of(paths, running)

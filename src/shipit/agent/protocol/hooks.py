"""The hooks of a release, and what a host reports of them. Values only, shared by both sides."""

from __future__ import annotations

from dataclasses import field
from typing import Tuple

from .fields import COUNT, PATH, SECONDS, one_of
from .values import dataclass

STAGED = "staged"
BEFORE_ACTIVATE = "before_activate"
AFTER_ACTIVATE = "after_activate"
BEFORE_COMMIT = "before_commit"
AFTER_COMMIT = "after_commit"
ON_ROLLBACK = "on_rollback"
ON_HOST = (STAGED, BEFORE_ACTIVATE, AFTER_ACTIVATE, BEFORE_COMMIT, AFTER_COMMIT, ON_ROLLBACK)
OK = "ok"  # how a hook ended that did not fail


@dataclass(frozen=True)
class Hook:
    """A command of the release that a host runs at one point of a deploy.

    Attributes:
        command: argv; the first word is looked up in the venv, then in the system.
        user: that it runs as.
        directory: where it starts.
        once: only the elected host runs it (`messages.Attempt.elected`).
    """

    name: str
    when: str = field(metadata=one_of(*ON_HOST))
    command: Tuple[str, ...]
    timeout: float = field(metadata=SECONDS)
    user: str
    directory: str = field(metadata=PATH)
    once: bool = False


@dataclass(frozen=True)
class HookOutput:
    """Lines that a hook has printed; of very many only the first ones."""

    hook: str
    text: str


@dataclass(frozen=True)
class HookLine:
    """A hook of an attempt, as the host's history has it."""

    hook: str
    when: str
    outcome: str  # OK, or in words how it failed
    seconds: float = field(metadata=SECONDS)
    number: int = field(default=0, metadata=COUNT)  # of the hook in its release

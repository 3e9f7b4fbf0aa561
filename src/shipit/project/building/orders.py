"""What is asked of a machine that builds wheels for hosts of its kind, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Order:
    """A wheel to build.

    Attributes:
        what: for errors: fast==1.0.
        source: an archive, whose digest has been checked.
        pip: the wheel of pip that builds it there; it runs without being installed.
        python: the version to build for, which the machine must have.
        time: of the source's revision, in seconds since 1970.
    """

    what: str
    source: Path
    pip: Path
    python: tuple[int, int]
    time: int


@dataclass(frozen=True)
class Built:
    """A wheel, and the libc that its compiled parts may need: ("glibc", 2, 36)."""

    wheel: Path
    libc: tuple[str, int, int]


class Builder(Protocol):
    """A host that builds wheels; `rollout.build_host` has the real one."""

    @property
    def name(self) -> str: ...

    def build(self, order: Order, folder: Path) -> Built:
        """Build a wheel, and put it into a folder of this machine.

        Raises:
            InputError: why it cannot; names the host and the step.
        """

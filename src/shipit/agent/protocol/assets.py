"""The static files of a release, and where they come from. Values only, shared by both sides."""

from __future__ import annotations

from dataclasses import field
from typing import Optional

from .fields import COUNT, INSIDE
from .hooks import Hook  # noqa: TC001 - type hints are read at run time
from .values import dataclass

ASSETS = "assets"  # the key of their command among the hooks of a journal


@dataclass(frozen=True)
class Assets:
    """Static files of a release, kept beside those of the releases before it.

    Attributes:
        keep: of how many committed releases, this one included.
        folder: where they are in the release; "" if a command makes them.
        is_in_package: the folder is relative to the venv's site-packages, not to the release.
        command: what writes them into an empty directory, `releases/<id>/assets`.
    """

    keep: int = field(metadata=COUNT)
    folder: str = field(default="", metadata=INSIDE)
    is_in_package: bool = False
    command: Optional[Hook] = None

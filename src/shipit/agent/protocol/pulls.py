"""The messages by which a host fetches blobs itself. Values only."""

from __future__ import annotations

from dataclasses import field
from typing import Tuple

from .fields import COUNT, FILE_NAME
from .values import dataclass


@dataclass(frozen=True)
class Piece:
    """Where a blob is in the file at a URL, in bytes."""

    sha256: str
    filename: str = field(metadata=FILE_NAME)
    offset: int = field(metadata=COUNT)
    size: int = field(metadata=COUNT)


@dataclass(frozen=True)
class Pull:
    """Fetch blobs from a URL. Answer: Pulled messages, then End; or Failure.

    The URL is a secret: it is in no argv, log, record or error, and its errors do not show it.
    """

    url: str = field(repr=False)
    pieces: Tuple[Piece, ...]


@dataclass(frozen=True)
class Pulled:
    """Progress, in bytes."""

    done: int = field(metadata=COUNT)
    total: int = field(metadata=COUNT)

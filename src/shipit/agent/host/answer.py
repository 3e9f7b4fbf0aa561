"""What a health check gets back from a service, and what it sends along. Values alone."""

from dataclasses import dataclass
from typing import Mapping, Optional

Headers = Optional[Mapping[str, str]]


@dataclass(frozen=True)
class Answer:
    """What came back: an error in words, or the status and the beginning of the body."""

    error: str = ""
    status: int = 0
    body: bytes = b""
    location: str = ""  # where a redirect leads

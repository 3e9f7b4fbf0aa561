"""The answer of a service to a health check, and the headers of the request. Values only."""

from typing import Mapping, Optional

from ..protocol.values import dataclass

Headers = Optional[Mapping[str, str]]


@dataclass(frozen=True)
class Answer:
    """An error in words, or the status and the beginning of the body."""

    error: str = ""
    status: int = 0
    body: bytes = b""
    location: str = ""  # the target of a redirect

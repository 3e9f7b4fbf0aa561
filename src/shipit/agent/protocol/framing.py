"""Send messages over a byte stream: one line of JSON, then as many raw bytes as its size.

Promises that any input is either a message of the expected kinds or a ProtocolError, and that no
line or body takes more memory than its limit.
"""

import json
from dataclasses import asdict
from typing import Any, BinaryIO, Mapping, NamedTuple, Optional, Tuple, Type

from .codec import from_json, parse

LINE_LIMIT = 16 * 1024 * 1024  # bytes; a longer header is no frame
BODY_LIMIT = 8 * 1024 * 1024  # bytes; parts of blobs are far smaller
SHOWN = 200  # bytes of an invalid frame, in the error

Kinds = Mapping[str, Type[Any]]


class ProtocolError(Exception):
    """The other side sent something that is not in the protocol."""


class Frame(NamedTuple):
    """A message and the raw bytes that came with it."""

    message: Any
    body: bytes


def pack(message: Any, size: int = 0) -> bytes:
    """Return the header line of a message whose body has `size` bytes.

    A file name that is not UTF-8 has surrogates, which no reader accepts: each becomes a `?`.
    """
    header = {"kind": type(message).__name__, "size": size, **asdict(message)}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "replace") + b"\n"


def write(stream: BinaryIO, message: Any, body: bytes = b"") -> None:
    """Write one frame and flush it."""
    stream.write(pack(message, len(body)) + body)
    stream.flush()


def read(stream: BinaryIO, kinds: Kinds) -> Optional[Frame]:
    """Read one frame; None at the end of the stream.

    Raises:
        ProtocolError: the stream ended inside a frame, or the input is no valid frame.
    """
    line = stream.readline(LINE_LIMIT)
    if not line:
        return None
    if not line.endswith(b"\n"):
        long = len(line) >= LINE_LIMIT
        end = f"is longer than {LINE_LIMIT} bytes" if long else "has no end"
        raise ProtocolError(f"a line that {end}")
    message, size = unpack(line, kinds)
    body = stream.read(size) if size else b""
    if len(body) != size:
        raise ProtocolError("the stream broke off inside a frame")
    return Frame(message, body)


def unpack(line: bytes, kinds: Kinds) -> Tuple[Any, int]:
    """Return the message of a header line, and how many bytes of body follow it.

    Raises:
        ProtocolError: it is none of these kinds, or a field is invalid.
    """
    try:
        header = parse(line)
        kind, size = _kind_and_size(header, kinds)
        return from_json(kind, header), size
    except ValueError as error:
        raise ProtocolError(f"not a frame: {line[:SHOWN]!r} ({error})") from error


def _kind_and_size(header: Any, kinds: Kinds) -> Tuple[Type[Any], int]:
    fields = header if isinstance(header, dict) else {}
    name, size = fields.pop("kind", None), fields.pop("size", None)
    if not isinstance(name, str) or name not in kinds:
        raise ValueError("its kind is unknown")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= BODY_LIMIT:
        raise ValueError(f"its body can't have that size; the limit is {BODY_LIMIT} bytes")
    return kinds[name], size

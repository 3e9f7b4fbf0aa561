"""Random invalid frames of every kind of message, for fuzzing.

mutator = Mutator(seed)
mutator.frame(protocol.Facts)  # bytes: mostly wrong, sometimes a frame after all
"""

from __future__ import annotations

import json
import random
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

from shipit.agent.protocol import messages
from shipit.agent.protocol.answers import Result
from shipit.agent.protocol.fields import CHECK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TO_HOST = tuple(
    kind
    for kind in messages.MESSAGES.values()
    if list(messages.MESSAGES).index(kind.__name__) < list(messages.MESSAGES).index("Facts")
)
FROM_HOST = tuple(kind for kind in messages.MESSAGES.values() if kind not in TO_HOST)

WORDS = (
    *("demo", "r1-aa", "t1", "2026-01-01T00:00:00+00:00", "/opt/demo", "3.11.2", "00ff"),
    *("committed", "commit", "controller", "http", "restart", "0f" * 32, "bin/python3.11"),
    *("hold", "2026-01-01T00:00:00Z", "staged", "report"),
)
TOKENS = (  # of JSON, or what looks like it
    *("1e999", "-1e999", "NaN", "-Infinity", "null", "true", "-1", "0", "0.5", '""', "[]", "{}"),
    *('"\\ud800"', '"\\u0000"', '"../../etc"', '"\\u001b]52;c;AAAA\\u0007"', '"\\u202e"', "1e-400"),
    *('"\\u2028forged"', '"a\\nweb2  committed"', '"committed"', '"stuck"', '"9.9.9-other"'),
    *("[[]]", '[{"a": null}]', '{"a": {"b": [1, 2]}}', "9" * 25, "1" + "0" * 5000, "1e300"),
    *("[" * 60 + "]" * 60, '"%s"' % ("x" * 3000), '"t2"', '"2026-02-31T00:00:00"', "2e9", "1.5"),
)
DEEP = b"[" * 100_000
MARK = '"@here@"'


def sample(kind: type[Any]) -> dict[str, Any]:
    """Return a valid message of this kind as plain data."""
    hints = get_type_hints(kind)
    return {
        each.name: _value(hints[each.name], each.metadata.get(CHECK, lambda _: True))
        for each in fields(kind)
    }


def _value(hint: Any, check: Callable[[Any], bool]) -> Any:  # noqa: ANN401 - a type hint
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Union:
        return _value(arguments[0], check)
    if origin is tuple:
        several = [one for one in arguments if one is not Ellipsis]
        return [_value(one, lambda word: check([word])) for one in several]
    if origin is dict:
        return {"units/a.service": _value(arguments[1], lambda _: True)}
    if is_dataclass(hint):
        return sample(hint)  # type: ignore[arg-type]
    if hint is str:
        return next(word for word in WORDS if check(word))
    plain: dict[Any, Any] = {int: 1, float: 1.0, bool: True, Any: [1], Result: "committed"}
    return plain[hint]


def places(value: object) -> Iterator[tuple[Any, Any]]:
    """Yield every position in plain data as a container and a key."""
    keys = value.keys() if isinstance(value, dict) else range(len(value))  # type: ignore[arg-type]
    for key in keys:
        yield value, key
        if isinstance(value[key], (dict, list)):  # type: ignore[index]
            yield from places(value[key])  # type: ignore[index]


class Mutator:
    """Breaks frames; the same seed breaks the same ones."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - to be repeated
        self._ways = (self._token, self._token, self._token, self._gone, self._more, self._bytes)

    def frame(self, kind: type[Any]) -> bytes:
        """Return a frame of this kind with one to three things wrong in it."""
        data = {"kind": kind.__name__, "size": 0, **sample(kind)}
        line = json.dumps(data).encode() + b"\n"
        for _ in range(self._random.randint(1, 3)):
            line = self._random.choice(self._ways)(line)
        return line

    def _parsed(self, line: bytes) -> Any:  # noqa: ANN401 - JSON
        try:
            return json.loads(line)
        except (ValueError, RecursionError):
            return None

    def _token(self, line: bytes) -> bytes:
        """Replace a value by another token."""
        data = self._parsed(line)
        if not isinstance(data, dict) or not data:
            return self._bytes(line)
        container, key = self._random.choice(list(places(data)))
        container[key] = "@here@"
        return json.dumps(data).replace(MARK, self._random.choice(TOKENS)).encode() + b"\n"

    def _gone(self, line: bytes) -> bytes:
        """Remove a value."""
        data = self._parsed(line)
        if not isinstance(data, dict) or not data:
            return self._bytes(line)
        container, key = self._random.choice(list(places(data)))
        del container[key]
        return json.dumps(data).encode() + b"\n"

    def _more(self, line: bytes) -> bytes:
        """Add a duplicate or unknown value."""
        return line.replace(b"{", b'{"size": 3, "new": [0], ', 1)

    def _bytes(self, line: bytes) -> bytes:
        """Break the bytes: cut, repeat, flip, or put far too many in."""
        chance, at = self._random.random(), self._random.randrange(len(line) or 1)
        if chance < 0.3:
            return line[:at]
        if chance < 0.6:
            return line[:at] + bytes([self._random.randrange(256)]) + line[at + 1 :]
        if chance < 0.98:
            return line[:at] + line[at // 2 :]
        return DEEP + line

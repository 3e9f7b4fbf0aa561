"""Turn frozen dataclasses into plain data and back, by their own type hints.

The input is untrusted: `from_json` accepts exactly the types and words that a dataclass names, and
raises ValueError for anything else.
"""

from __future__ import annotations

import json
import math
from dataclasses import MISSING, asdict, fields, is_dataclass
from functools import lru_cache
from typing import (
    Any,
    Callable,
    Dict,
    Mapping,
    Tuple,
    Type,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from .fields import CHECK

T = TypeVar("T")
Build = Callable[[Any], Any]
MOST_DIGITS = 20  # of a whole number; Python needs seconds for one of a million
MOST = 1e300  # of a number with a fraction
DEEPEST = 32  # levels of an untyped value
SHOWN = 80  # characters of a wrong value, in an error


def to_json(message: Any) -> Dict[str, Any]:
    """Return a message as plain data, which `from_json` reads again."""
    return asdict(message)


def parse(content: bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: it is invalid, nested too deep, or has a number of more than 64 bits.
    """
    try:
        return json.loads(
            content.decode(), parse_int=_integer, parse_float=_real, parse_constant=_real
        )
    except RecursionError:
        raise ValueError("nested too deep") from None


def _integer(text: str) -> int:
    number = int(text) if len(text) <= MOST_DIGITS else 1 << 63
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError(f"{_shown(text)} has more than 64 bits")
    return number


def _real(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{_shown(text)} is not finite")
    return number


def from_json(kind: Type[T], value: Mapping[str, Any]) -> T:
    """Rebuild a dataclass from plain data.

    Raises:
        ValueError: the data does not fit. Unknown keys are ignored, so that a newer side may send
            more.
    """
    built: T = _dataclass(kind)(value)  # type: ignore[arg-type]
    return built


@lru_cache(maxsize=None)  # a manifest has dozens of artifacts
def _dataclass(kind: Type[Any]) -> Build:
    hints = get_type_hints(kind)
    known = {
        each.name: (_build(hints[each.name]), each.metadata.get(CHECK)) for each in fields(kind)
    }
    needed = {
        each.name
        for each in fields(kind)
        if each.default is MISSING and each.default_factory is MISSING
    }

    upgraded = getattr(kind, "upgraded", None)  # reads what earlier versions wrote

    def build(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise _wrong(f"an object for {kind.__name__}", value)
        value = upgraded(value) if upgraded else value
        if missing := needed - value.keys():
            raise ValueError(f"{kind.__name__}: {', '.join(sorted(missing))} is missing")
        return kind(**{name: one(name, item) for name, item in value.items() if name in known})

    def one(name: str, item: Any) -> Any:
        make, check = known[name]
        try:
            built = make(item)
        except ValueError as error:
            raise ValueError(f"{kind.__name__}.{name}: {error}") from None
        if check and built is not None and not check(built):
            raise ValueError(f"{kind.__name__}.{name} can't be {_shown(item)}")
        return built

    return build


def _build(hint: Any) -> Build:
    """Return the function that builds a value of this type, or raises ValueError."""
    if hint in _PLAIN:
        return _PLAIN[hint]
    if is_dataclass(hint):
        return _dataclass(hint)  # type: ignore[arg-type]
    origin = get_origin(hint)
    if origin is None:  # an Enum, which looks its values up
        return hint  # type: ignore[no-any-return]
    return _GENERIC[origin](get_args(hint))


def _optional(hints: Tuple[Any, ...]) -> Build:
    some = _build(hints[0])
    return lambda value: None if value is None else some(value)


def _tuple(hints: Tuple[Any, ...]) -> Build:
    if len(hints) == 2 and hints[1] is Ellipsis:  # noqa: PLR2004 - Tuple[X, ...]
        each = _build(hints[0])
        return lambda value: tuple(each(item) for item in _list(value))
    makes = [_build(hint) for hint in hints]

    def build(value: Any) -> Tuple[Any, ...]:
        if len(_list(value)) != len(makes):
            raise _wrong(f"{len(makes)} items", value)
        return tuple(make(item) for make, item in zip(makes, value))

    return build


def _list(value: Any) -> Any:
    if not isinstance(value, (list, tuple)):
        raise _wrong("a list", value)
    return value


def _dict(hints: Tuple[Any, ...]) -> Build:
    make = _build(hints[1])

    def build(value: Any) -> Dict[str, Any]:
        if not isinstance(value, Mapping):
            raise _wrong("an object", value)
        return {_text(key): make(item) for key, item in value.items()}

    return build


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong("a text", value)
    if not value.isascii():
        value.encode()  # half a surrogate pair is a UnicodeEncodeError, which is a ValueError
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong("a whole number", value)
    return value


def _number(value: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise _wrong("a number", value)
    if not abs(value) < MOST:
        raise _wrong("a finite number", value)
    return float(value)


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong("true or false", value)
    return value


def _anything(value: Any, depth: int = 0) -> Any:
    """Return plain data of any form, of limited depth."""
    if depth > DEEPEST:
        raise ValueError("nested too deep")
    if isinstance(value, Mapping):
        return {_text(key): _anything(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_anything(item, depth + 1) for item in value]
    return _text(value) if isinstance(value, str) else value


def _wrong(expected: str, value: Any) -> ValueError:
    return ValueError(f"expected {expected}, got {_shown(value)}")


def _shown(value: Any) -> str:
    """Return a wrong value for an error, shortened."""
    if isinstance(value, (str, int, float)) or value is None:
        return ascii(value)[:SHOWN]
    return f"a {type(value).__name__}"


_PLAIN: Mapping[Any, Build] = {
    Any: _anything, str: _text, int: _whole, float: _number, bool: _truth,
}  # fmt: skip
_GENERIC: Mapping[Any, Callable[[Tuple[Any, ...]], Build]] = {
    Union: _optional, tuple: _tuple, dict: _dict,
}  # fmt: skip

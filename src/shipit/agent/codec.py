"""Turn frozen dataclasses into plain data and back, by their own type hints."""

from __future__ import annotations

from dataclasses import asdict, fields, is_dataclass
from functools import lru_cache
from typing import (
    Any,
    Dict,
    Iterable,
    Mapping,
    Tuple,
    Type,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

T = TypeVar("T")


def to_json(message: Any) -> Dict[str, Any]:
    """Return a message as plain data, for files that `from_json` reads again."""
    return asdict(message)


def from_json(kind: Type[T], value: Mapping[str, Any]) -> T:
    """Rebuild a dataclass from plain data.

    Raises:
        TypeError, ValueError, KeyError: the data does not fit; unknown keys are left out, so that
            a newer side may say more.
    """
    hints = _hints(kind)  # type: ignore[arg-type]
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return kind(
        **{name: _build(hints[name], item) for name, item in value.items() if name in known}
    )


@lru_cache(maxsize=None)  # a manifest has dozens of artifacts
def _hints(kind: Type[Any]) -> Dict[str, Any]:
    return get_type_hints(kind)


def _build(hint: Any, value: Any) -> Any:
    if value is None or hint is Any:
        return value
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Union:
        return _build(arguments[0], value)
    if origin is tuple:
        return tuple(_items(arguments, value))
    if origin is dict:
        return {key: _build(arguments[1], item) for key, item in value.items()}
    if is_dataclass(hint):
        return from_json(hint, value)  # type: ignore[arg-type]
    return hint(value)


def _items(hints: Tuple[Any, ...], values: Iterable[Any]) -> Iterable[Any]:
    if len(hints) == 2 and hints[1] is Ellipsis:  # noqa: PLR2004 - Tuple[X, ...]
        return [_build(hints[0], value) for value in values]
    return [_build(hint, value) for hint, value in zip(hints, values)]

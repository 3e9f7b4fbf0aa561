"""Hide secrets in everything that is about to be shown.

Every text in an event, a plan or a document passes through one function, at any depth of nesting.
That function (secrets.Mask) knows the secrets; this module makes sure that no text bypasses it.
Enums and numbers stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import TypeVar, cast

T = TypeVar("T")
Hide = Callable[[str], str]


class Redactor:
    """Hides the secrets learnt so far: more are found while a command runs."""

    def __init__(self) -> None:
        self._hides: tuple[Hide, ...] = ()

    def learn(self, hide: Hide) -> None:
        """Apply `hide` as well, from now on."""
        self._hides = (*self._hides, hide)

    def __call__(self, text: str) -> str:
        for hide in self._hides:
            text = hide(text)
        return text


def redacted(value: T, hide: Hide) -> T:
    """Return the same value with every text in it put through `hide`."""
    return cast("T", _masked(value, hide))


def _masked(value: object, hide: Hide) -> object:
    if isinstance(value, str):
        return hide(value)
    if is_dataclass(value) and not isinstance(value, type):
        shown = {part.name: _masked(getattr(value, part.name), hide) for part in fields(value)}
        return replace(value, **shown)
    if isinstance(value, Mapping):
        return {_masked(key, hide): _masked(item, hide) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_masked(item, hide) for item in value)
    return value

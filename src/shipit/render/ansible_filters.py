"""Ansible's filters, lookup and `omit` that templates may use."""

from __future__ import annotations

import os
import re
import shlex
from functools import reduce
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_ENV = ("env", "ansible.builtin.env")


class _Omit:
    """The value of a key that is left out: `"{{ port | default(omit) }}"`."""

    def __str__(self) -> str:
        raise ValueError("omit is the whole value of a key, and nothing else beside it")


OMIT = _Omit()


def without_omitted(values: Mapping[object, object]) -> dict[object, object]:
    """Return a mapping without the keys whose value is `omit`."""
    return {key: value for key, value in values.items() if value is not OMIT}


def lookup(kind: str, *names: str, default: object = "") -> object:
    """Return environment variables of the controller: `lookup('env', 'HOME')`."""
    if kind not in _ENV:
        raise ValueError(f"lookup('{kind}', ...) is not known here: only lookup('env', 'NAME')")
    found = [os.environ.get(name, default) for name in names]
    return found[0] if len(found) == 1 else ",".join(map(str, found))


def _ternary(value: object, if_true: object, if_false: object, if_none: object = None) -> object:
    if value is None and if_none is not None:
        return if_none
    return if_true if value else if_false


def _combine(
    first: object, *others: object, recursive: bool = False, list_merge: str = "replace"
) -> dict[object, object]:
    if list_merge not in _LISTS:
        raise ValueError(f"list_merge must be one of {', '.join(_LISTS)}")
    result: dict[object, object] = {}
    for part in _flat([first, *others]):
        if not isinstance(part, dict):
            raise TypeError(f"combine takes mappings, not {type(part).__name__}")
        result = _merged(result, part, recursive=recursive, lists=list_merge)
    return result


def _flat(values: list[object]) -> list[object]:
    """Flatten nested lists; `combine` takes lists of mappings, too."""
    return [
        item for value in values for item in (_flat(value) if isinstance(value, list) else [value])
    ]


_LISTS = {
    "replace": lambda old, new: new,  # noqa: ARG005 - one signature for all
    "keep": lambda old, new: old,  # noqa: ARG005
    "append": lambda old, new: old + new,
    "prepend": lambda old, new: new + old,
    "append_rp": lambda old, new: [x for x in old if x not in new] + new,
    "prepend_rp": lambda old, new: new + [x for x in old if x not in new],
}


def _merged(
    old: Mapping[object, object], new: Mapping[object, object], *, recursive: bool, lists: str
) -> dict[object, object]:
    result = dict(old)
    for key, value in new.items():
        below = result.get(key)
        if recursive and isinstance(below, dict) and isinstance(value, dict):
            result[key] = _merged(below, value, recursive=recursive, lists=lists)
        elif isinstance(below, list) and isinstance(value, list):
            result[key] = _LISTS[lists](below, value)
        else:
            result[key] = value
    return result


def _regex_replace(
    value: object,
    pattern: str,
    replacement: str = "",
    ignorecase: object = False,  # noqa: FBT002 - by position in Ansible, too
    multiline: object = False,  # noqa: FBT002
    count: int = 0,
) -> str:
    flags = (re.IGNORECASE if ignorecase else 0) | (re.MULTILINE if multiline else 0)
    return re.sub(pattern, replacement, str(value), count=count, flags=flags)


def _quote(value: object) -> str:
    return shlex.quote("" if value is None else str(value))


def _extract(key: object, container: Any, *more: object) -> object:  # noqa: ANN401 - any mapping
    """Return an entry or a nested one: `map('extract', hostvars, 'ansible_host')`."""
    below = [step for part in more for step in (part if isinstance(part, list) else [part])]
    return reduce(lambda found, step: found[step], [key, *below], container)


FILTERS = {
    "extract": _extract,
    "ternary": _ternary,
    "combine": _combine,
    "regex_replace": _regex_replace,
    "quote": _quote,
}

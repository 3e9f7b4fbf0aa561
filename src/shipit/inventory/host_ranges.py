"""Parse the host entries of an inventory: a name or a range of names, with an optional port.

The meaning is Ansible's, but it refuses what Ansible accepts by accident: ranges that are empty or
mix letters and numbers, and names that no pattern could ever select. Pure; names are not resolved.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from string import ascii_letters

_RANGE = r"\[(?:[a-zA-Z]:[a-zA-Z]|[0-9]+:[0-9]+)(?::[0-9]+)?\]"
_LABEL = rf"(?:\w|{_RANGE})(?:[\w-]|{_RANGE})*(?<![_-])"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_BRACKETS_AND_PORT = re.compile(r"\[(.+)\]:([0-9]+)")
_NAME_AND_PORT = re.compile(r"((?:[^:\[\]]|\[[^\]]*\])*):([0-9]+)")
_SPECIAL = re.compile(r"^[-!&~@]|[\s:,=\[\]]")  # has a meaning in patterns, or is an ssh option
_MOST_NAMES = 100_000


def address(text: str) -> tuple[str, int | None] | None:
    """Split a host's name (ranges allowed) from its port; None if it is neither."""
    name, port = text, None
    for form in (_BRACKETS_AND_PORT, _NAME_AND_PORT):
        found = form.fullmatch(text)
        if found:
            name, port = found[1], int(found[2])
            break
    known = _NAME.fullmatch(name) or is_ipv6(re.sub(_RANGE, "1", name))
    return (name, port) if known else None


def expand(text: str) -> tuple[list[str], int | None]:
    """Return the names of an inventory's host entry, and their port.

    `web[01:03].example.com:2222` is three names with the port 2222. Ranges are `[1:9]`, `[01:20]`
    (zero padded), `[a:f]`, `[1:10:2]` (with a step); a name may have several.

    Raises:
        ValueError: with the reason, for the user.
    """
    found = address(text)
    if found is None and _SPECIAL.search(re.sub(r"\[[^\]]*(\]|$)", "", text)):
        raise ValueError("it is neither a name, an address nor a range, with or without a port")
    pattern, port = found or (text, None)
    names = _spread(pattern)
    if "" in names:
        raise ValueError("a host needs a name")
    return names, port


def is_ipv4(name: str) -> bool:
    parts = name.split(".")
    return len(parts) == 4 and all(re.fullmatch("[0-9]{1,3}", p) and int(p) < 256 for p in parts)  # noqa: PLR2004 - an IPv4 address is four bytes


def is_ipv6(name: str) -> bool:
    try:
        IPv6Address(name)
    except ValueError:
        return False
    return True


def _spread(text: str) -> list[str]:
    """Expand the ranges of a name; the leftmost varies slowest."""
    head, bracket, rest = text.partition("[")
    if not bracket:
        return [text]
    inside, closing, tail = rest.partition("]")
    if not closing:
        raise ValueError("the range's closing ] is missing")
    middles, tails = _items(inside), _spread(tail)
    if len(middles) * len(tails) > _MOST_NAMES:
        raise ValueError(f"it stands for more than {_MOST_NAMES} hosts")
    return [head + middle + end for middle in middles for end in tails]


def _items(inside: str) -> list[str]:
    begin, colon, rest = inside.partition(":")
    end, with_step, text = rest.partition(":")
    begin = begin or "0"
    if not colon or not end:
        raise ValueError(f"the range [{inside}] must be [begin:end] or [begin:end:step]")
    if with_step and not (_is_number(text) and int(text)):
        raise ValueError(f"the step of the range [{inside}] must be a number from 1 up")
    step = int(text or 1)
    if len(begin) == len(end) == 1 and begin in ascii_letters and end in ascii_letters:
        first, last = ascii_letters.index(begin), ascii_letters.index(end)
        items = list(ascii_letters[first : last + 1 : step])
    elif _is_number(begin) and _is_number(end):
        items = _numbers(begin, end, step)
    else:
        raise ValueError(f"the range [{inside}] must go from number to number or letter to letter")
    if not items:
        raise ValueError(f"the range [{inside}] is empty: its end comes before its beginning")
    return items


def _numbers(begin: str, end: str, step: int) -> list[str]:
    padded = begin.startswith("0") and len(begin) > 1
    if padded and len(begin) != len(end):
        raise ValueError(f"both ends of the range [{begin}:{end}] must have the same length")
    numbers = range(int(begin), int(end) + 1, step)
    if len(numbers) > _MOST_NAMES:
        raise ValueError(f"it stands for more than {_MOST_NAMES} hosts")
    return [str(number).zfill(len(begin) if padded else 0) for number in numbers]


def _is_number(text: str) -> bool:
    return re.fullmatch("[0-9]{1,18}", text) is not None

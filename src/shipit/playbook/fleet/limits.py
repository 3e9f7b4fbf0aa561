"""Parse the sizes of batches, and how many hosts may fail."""

from __future__ import annotations

import re
from contextlib import suppress

from shipit.playbook.parsers import InvalidValueError, whole

_PERCENTAGE = re.compile(r"(\d{1,3}(?:\.\d{1,9})?)%")
_DIGITS = 20  # of a whole number; Python refuses to read one of more than 4300
_MOST_HOSTS = 100_000

count_or_zero = whole(0, _MOST_HOSTS)


def percentage(value: object) -> float:
    number = value
    if isinstance(value, str):
        with suppress(ValueError):
            number = float(value.removesuffix("%"))
    if isinstance(number, (int, float)) and not isinstance(number, bool) and 0 <= number <= 100:  # noqa: PLR2004 - percent
        return float(number)
    raise InvalidValueError("a percentage from 0 to 100", value)


def count_or_share(value: object) -> int | str:
    """Return a number of hosts, or a percentage of them."""
    with suppress(InvalidValueError):
        return count_or_zero(value)
    found = _PERCENTAGE.fullmatch(value) if isinstance(value, str) else None
    if found and float(found[1]) <= 100:  # noqa: PLR2004 - percent
        return str(value)
    raise InvalidValueError('a number of hosts from 0, or a percentage such as "5%"', value)


def batches(value: object) -> tuple[int | str, ...]:
    """Ansible's `serial`: a number of hosts, a percentage, or a list of these."""
    sizes = value if isinstance(value, (list, tuple)) else [value]
    if not sizes:
        raise InvalidValueError("at least one batch", value)
    return tuple(map(_batch, sizes))


def _batch(size: object) -> int | str:
    if isinstance(size, str) and size.isdecimal() and len(size) <= _DIGITS:
        size = int(size)
    if isinstance(size, int) and not isinstance(size, bool) and size > 0:
        return size
    found = _PERCENTAGE.fullmatch(size) if isinstance(size, str) else None
    if found and 0 < float(found[1]) <= 100:  # noqa: PLR2004 - percent
        return str(size)
    raise InvalidValueError('a number of hosts from 1, or a percentage such as "25%"', size)

"""Parse which hosts are canaries, and the limits of what is measured on them."""

from __future__ import annotations

import math
import re
from urllib.parse import urlsplit

from shipit.playbook import paths
from shipit.playbook.fleet import limits
from shipit.playbook.parsers import InvalidValueError

HOSTS = "$hosts"  # in a query: the hosts that it is about, as a regular expression
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]*")
_EXAMPLES = 'a number of hosts from 1, a percentage such as "5%", or a list of hosts and groups'


def hosts(value: object) -> int | str | tuple[str, ...]:
    """Return a number of hosts, a percentage of them, or the names of hosts and groups."""
    if isinstance(value, (list, tuple)):
        if not value:
            raise InvalidValueError("at least one host or group", value)
        return tuple(map(_host, value))
    if isinstance(value, str) and not value.endswith("%") and not value.isdecimal():
        return (_host(value),)
    try:
        (size,) = limits.batches(value)
    except InvalidValueError as error:
        raise InvalidValueError(_EXAMPLES, value) from error
    return size


def _host(value: object) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise InvalidValueError("the name of a host or a group of the inventory", value)
    return value


def number(value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            found = float(value)
        except OverflowError:
            found = math.inf
        if math.isfinite(found):
            return found
    raise InvalidValueError("a number such as 0.01", value)


def times(value: object) -> float:
    """Return by how much a canary may exceed the other hosts."""
    found = number(value)
    if found <= 0:
        raise InvalidValueError("a number above zero, such as 1.5", value)
    return found


def server(value: object) -> str:
    """Return the URL of a Prometheus, or of what speaks its API, without a slash at its end."""
    parts = urlsplit(paths.url(value))
    if "@" in parts.netloc:
        raise InvalidValueError("a URL without credentials; `token:` refers to a secret", "***")
    if parts.query or parts.fragment:
        raise InvalidValueError(
            "a URL without a query, such as http://prom.example.com:9090", value
        )
    return parts.geturl().rstrip("/")

"""Parse the headers that a health check sends. Pure. Raises `parsers.InvalidValueError`."""

from __future__ import annotations

import re

from shipit.playbook.parsers import InvalidValueError

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110
_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?")
_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?")
_CREDENTIALS = re.compile(
    r"(.*[-_])?(authorization|cookie|token|secret|password|api-?key|session|signature)",
    re.IGNORECASE,
)
_OF_THE_CLIENT = ("connection", "content-length", "expect", "te", "transfer-encoding", "upgrade")


def name(value: object) -> str:
    """The name of a header that carries no credentials and does not frame the request."""
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise InvalidValueError("the name of an HTTP header, such as X-Forwarded-Proto", value)
    if _CREDENTIALS.fullmatch(value):
        expected = (
            "no header for credentials: it would be readable in the manifest. A `command:` check"
            " has the app's environment, with its secrets"
        )
        raise InvalidValueError(expected, value)
    if value.lower() in _OF_THE_CLIENT:
        raise InvalidValueError(
            "no header that frames the request: shipit sets those itself", value
        )
    return value


def value(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not _VALUE.fullmatch(value):
        raise InvalidValueError("one line of printable ASCII", value)
    return value


def host(value: object) -> str:
    """A host name as browsers and proxies send it: without a scheme or a path."""
    if not isinstance(value, str) or not _HOST.fullmatch(value):
        raise InvalidValueError(
            "a host name such as www.example.com, with a port if need be", value
        )
    return value

"""Parse the headers that a health check sends. Pure. Raises `parsers.InvalidValueError`."""

from __future__ import annotations

import re

from shipit.playbook.parsers import InvalidValueError, matching

_token = matching(
    r"[A-Za-z0-9!#$%&'*+.^_`|~-]+",  # RFC 9110
    "the name of an HTTP header, such as X-Forwarded-Proto",
)
_line = matching(r"[!-~]([ -~]*[!-~])?", "one line of printable ASCII")
_CREDENTIALS = re.compile(
    r"(.*[-_])?(authorization|cookie|token|secret|password|api-?key|session|signature)",
    re.IGNORECASE,
)
_OF_THE_CLIENT = ("connection", "content-length", "expect", "te", "transfer-encoding", "upgrade")


def name(value: object) -> str:
    """The name of a header that carries no credentials and does not frame the request."""
    word = _token(value)
    if _CREDENTIALS.fullmatch(word):
        expected = (
            "no header for credentials: it would be readable in the manifest. A `command:` check"
            " has the app's environment, with its secrets"
        )
        raise InvalidValueError(expected, value)
    if word.lower() in _OF_THE_CLIENT:
        raise InvalidValueError("no header that frames the request: shipit sets those itself", word)
    return word


def value(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _line(value)


# A host name as browsers and proxies send it: without a scheme or a path.
host = matching(
    r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?",
    "a host name such as www.example.com, with a port if need be",
)

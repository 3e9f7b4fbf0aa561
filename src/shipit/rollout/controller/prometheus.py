"""Ask a Prometheus for one number, by its HTTP API. No redirect is followed."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

if TYPE_CHECKING:
    from http.client import HTTPResponse

    from shipit.secrets import Secret

PATH = "/api/v1/query"
LIMIT = 1024 * 1024  # bytes of an answer
CHUNK = 64 * 1024
SHOWN = 300  # characters of what the server says
REDIRECTS = range(300, 400)


class MetricsError(Exception):
    """The server gave no usable answer; says why."""


class _NoRedirects(HTTPRedirectHandler):
    """Lets an answer that redirects be an error, wherever to."""

    def http_error_302(self, *_: object) -> None:
        """Return no answer from elsewhere."""

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302  # type: ignore[assignment] # it needs none of what it gets


def ask(url: str, query: str, token: Secret | None, timeout: float) -> float | None:
    """Return the result of a query; None without data.

    Args:
        url: of the server.
        query: in PromQL, with one result.
        token: the bearer token, if it asks for one.
        timeout: in seconds, for the whole answer.

    Raises:
        MetricsError: it cannot be reached, refuses, or answers with anything else.
    """
    deadline = time.monotonic() + timeout
    form = urlencode({"query": query, "timeout": f"{timeout:g}"}).encode()
    request = Request(url + PATH, form, {"Accept": "application/json"})  # noqa: S310 - http(s), by the playbook
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {_of_header(token)}")
    try:
        with build_opener(_NoRedirects).open(request, timeout=timeout) as response:
            content = _read(response, deadline)
    except HTTPError as error:
        with error:
            raise MetricsError(_refusal(error)) from None
    except URLError as error:
        raise MetricsError(f"it cannot be reached: {error.reason}") from None
    except (OSError, HTTPException) as error:
        why = "it did not answer in time" if isinstance(error, TimeoutError) else _said(error)
        raise MetricsError(why) from None
    except ValueError as error:  # such as a proxy that is no URL
        raise MetricsError(f"the request cannot be made: {error}") from None
    return _number(_json(content))


def _of_header(token: Secret) -> str:
    value = token.reveal()
    if not (value.isascii() and value.isprintable()):
        raise MetricsError("its token is not one line of ASCII text")
    return value


def _read(response: HTTPResponse, deadline: float) -> bytes:
    content = b""
    while chunk := response.read1(CHUNK):
        content += chunk
        if len(content) > LIMIT:
            raise MetricsError(f"its answer is longer than {LIMIT} bytes")
        if time.monotonic() > deadline:
            raise TimeoutError
    return content


def _refusal(error: HTTPError) -> str:
    """Return why a query was refused; the server may say it in JSON."""
    if error.code in REDIRECTS:
        where = ""
        with suppress(ValueError):  # it is no URL
            where = urlsplit(error.headers.get("Location", "")).netloc[:SHOWN]
        return f"it redirects to {where or 'a path'}"
    why = ""
    with suppress(MetricsError, OSError, HTTPException, KeyError, TypeError):  # the status is known
        why = f": {_json(error.read1(CHUNK))['error']}"[:SHOWN]
    return f"it answers with HTTP status {error.code}{why}"


def _json(content: bytes) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise MetricsError("its answer is no JSON") from None


def _number(answer: Any) -> float | None:  # noqa: ANN401 - JSON
    """Return the one number of an answer; None for an empty one."""
    try:
        kind, result = answer["data"]["resultType"], answer["data"]["result"]
        if kind == "scalar":
            return float(result[1])
        if kind != "vector":
            raise MetricsError(f"the query returns a {kind!s:.20}, not a number")
        if len(result) > 1:
            what = f"the query has {len(result)} results; write one that has one, such as sum(...)"
            raise MetricsError(what)
        return float(result[0]["value"][1]) if result else None
    except (KeyError, IndexError, TypeError, ValueError):
        raise MetricsError("its answer is not that of a Prometheus") from None


def _said(error: Exception) -> str:
    return f"its answer broke off, or is no HTTP: {error!s:.{SHOWN}}"

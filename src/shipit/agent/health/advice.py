"""Explain what a wrong HTTP status usually means for a health check, and what to set. Pure."""

from urllib.parse import urlsplit

from ..host.answer import Answer
from ..protocol.manifest import Check

REDIRECTS = (301, 302, 303, 307, 308)
# Answers that only another configuration changes. A 404 may come from a service that is still
# starting, a 429 from a busy one.
LASTING = (*REDIRECTS, 400, 401, 403, 405, 406, 421, 426)
FORWARDED = "headers: {X-Forwarded-Proto: https}"
HINTS = {
    400: "does the service know the host {host}? Set `host:` to a name that it accepts (in Django"
    " one of ALLOWED_HOSTS)",
    401: "it requires a login: check a page that needs none, or write `status: 401`",
    403: "it forbids this: check a page that is open to all, or set `host:` and `headers:` as the"
    " proxy in front does",
    404: "is the path right, with its prefix and trailing slash? A service with virtual hosts"
    " needs `host:`",
    405: "the page does not allow GET: check another one, or write `status: 405`",
    406: "the page requires another Accept: set it in `headers:`",
    421: "the service does not know the host {host}: set `host:` to a name that it accepts",
    426: f"it requires https: set `{FORWARDED}`, as the proxy in front does",
}


def is_lasting(check: Check, answer: Answer) -> bool:
    """Whether an answer is wrong and waiting will not change it."""
    return answer.status != check.status and answer.status in LASTING


def advice(check: Check, answer: Answer) -> str:
    """Return what to set in a check that got a wrong status; "" if unknown."""
    if not check.url or answer.error or answer.status == check.status:
        return ""
    headers = {key.lower(): value for key, value in (check.headers or {}).items()}
    parts = urlsplit(check.url)
    host = headers.get("host") or parts.netloc
    if answer.status in REDIRECTS:
        secure = "https" in (parts.scheme, headers.get("x-forwarded-proto", "").lower())
        return _of_redirect(answer.location, host, answer.status, is_secure=secure)
    return HINTS.get(answer.status, "").format(host=host)


def _of_redirect(location: str, host: str, status: int, *, is_secure: bool) -> str:
    try:
        parts = urlsplit(location)
    except ValueError:
        parts = urlsplit("")
    asked = urlsplit(f"//{host}").hostname or ""
    if parts.scheme == "https" and not is_secure:
        there = parts.hostname or ""
        other = "" if there == asked else f"host: {there}, "
        return f"the service requires https: set `{other}{FORWARDED}`, as the proxy in front does"
    if parts.hostname and parts.hostname != asked:
        return f"it redirects to another host: set `host: {parts.netloc}`"
    if parts.path:
        return f"check the page that it redirects to ({parts.path}), or write `status: {status}`"
    return f"check a page that does not redirect, or write `status: {status}`"

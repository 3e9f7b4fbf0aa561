"""Say what a wrong HTTP status usually means for a health check, and what to set. Pure."""

from urllib.parse import urlsplit

from ..host.answer import Answer
from ..protocol.manifest import Check

REDIRECTS = (301, 302, 303, 307, 308)
# Answers that another configuration changes, and time does not. A 404 may be of a service that has
# not set up its pages yet, a 429 of one that is busy.
LASTING = (*REDIRECTS, 400, 401, 403, 405, 406, 421, 426)
FORWARDED = "headers: {X-Forwarded-Proto: https}"
HINTS = {
    400: "does the service know the host {host}? Set `host:` to a name that it takes (in Django one"
    " of ALLOWED_HOSTS)",
    401: "it wants a login: check a page that needs none, or write `status: 401`",
    403: "it forbids this: check a page that is open to all, or set `host:` and `headers:` as the"
    " proxy in front does",
    404: "is the path right, with its prefix and its last slash? A service that knows its sites by"
    " name needs `host:`",
    405: "the page takes no GET: check another one, or write `status: 405`",
    406: "the page wants another Accept: set it in `headers:`",
    421: "the service does not know the host {host}: set `host:` to a name that it takes",
    426: f"it wants https: set `{FORWARDED}`, as the proxy in front does",
}


def is_lasting(check: Check, answer: Answer) -> bool:
    """Whether an answer is wrong in a way that waiting does not change."""
    return answer.status != check.status and answer.status in LASTING


def advice(check: Check, answer: Answer) -> str:
    """Return what to set in a check that got a wrong status; "" where that is not known."""
    if check.kind not in ("http", "unix") or answer.error or answer.status == check.status:
        return ""
    host, secure = _asked(check)
    if answer.status in REDIRECTS:
        return _of_redirect(answer.location, host, answer.status, is_secure=secure)
    return HINTS.get(answer.status, "").format(host=host)


def _asked(check: Check) -> "tuple[str, bool]":
    """Return the host that a check asks for, and whether the service takes it for https."""
    headers = {key.lower(): value for key, value in (check.headers or {}).items()}
    parts = urlsplit(check.target if check.kind == "http" else "http://localhost")
    secure = "https" in (parts.scheme, headers.get("x-forwarded-proto", "").lower())
    return headers.get("host") or parts.netloc, secure


def _of_redirect(location: str, host: str, status: int, *, is_secure: bool) -> str:
    try:
        parts = urlsplit(location)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme == "https" and not is_secure:
        there = parts.hostname or ""
        other = "" if there == _bare(host) else f"host: {there}, "
        return f"the service wants https: set `{other}{FORWARDED}`, as the proxy in front does"
    if parts.hostname and parts.hostname != _bare(host):
        return f"it wants another host: set `host: {parts.netloc}`"
    if parts.path:
        return f"check the page that it leads to ({parts.path}), or write `status: {status}`"
    return f"check a page that does not redirect, or write `status: {status}`"


def _bare(host: str) -> str:
    return urlsplit(f"//{host}").hostname or ""

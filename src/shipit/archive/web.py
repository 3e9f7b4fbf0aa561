"""Download a file over HTTP with the standard library.

Proxies and certificates are those of the environment; credentials are in the URL, or in the user's
netrc ($NETRC, or ~/.netrc). These never follow a redirect, which leads to http or https alone, and
never from https to http. A download that breaks off is begun again a few times.
"""

from __future__ import annotations

import http.client
import netrc
import os
import ssl
import time
from base64 import b64encode
from typing import IO, TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from shipit import __version__
from shipit.project.cache import FULL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from http.client import HTTPMessage
    from pathlib import Path

SCHEMES = ("http", "https")
TIMEOUT = 30.0  # seconds to connect, and between two reads
CHUNK = 1 << 18  # bytes
_BUSY = (429, 500, 502, 503, 504)  # statuses of a server that may answer later


def download(
    url: str, to: Path, report: Callable[[int, int], None], pauses: Sequence[float] = ()
) -> None:
    """Write what a URL gives to a file.

    `report` gets the bytes so far, and those of the whole, 0 if unknown. After each of
    `pauses` (seconds) it is tried again.

    Raises:
        HTTPError: the server refuses it.
        OSError, HTTPException: there is no answer, or not all of it.
    """
    for pause in (*pauses, None):
        try:
            _attempt(url, to, report)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, HTTPError):
                error.close()  # it holds the connection
            if pause is None or not _may_pass(error):
                raise
            time.sleep(pause)
        else:
            return


def _attempt(url: str, to: Path, report: Callable[[int, int], None]) -> None:
    done = 0
    with build_opener(_Redirects).open(_request(url), timeout=TIMEOUT) as answer:
        total = int(answer.headers.get("Content-Length") or 0)
        with to.open("wb") as out:
            while chunk := answer.read1(CHUNK):
                done += out.write(chunk)
                report(done, total)
    if done < total:
        raise http.client.IncompleteRead(b"", total - done)


def _request(url: str) -> Request:
    parts = urlsplit(url)
    _, _, host = parts.netloc.rpartition("@")
    plain = parts._replace(netloc=host, fragment="").geturl()
    request = Request(plain, headers={"User-Agent": f"shipit/{__version__}"})  # noqa: S310 - SCHEMES
    if login := _login(parts):
        words = b64encode(":".join(login).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {words}")
    return request


def _login(parts: SplitResult) -> tuple[str, str] | None:
    """Return user and password: of the URL, or else of netrc, as curl and pip take them."""
    if parts.username is not None:
        return unquote(parts.username), unquote(parts.password or "")
    try:
        found = netrc.netrc(os.environ.get("NETRC")).authenticators(parts.hostname or "")
    except (OSError, netrc.NetrcParseError):
        return None
    return (found[0], found[2]) if found else None


def _may_pass(error: Exception) -> bool:
    """Whether another attempt may succeed."""
    if isinstance(error, HTTPError):
        return error.code in _BUSY
    reason = error.reason if isinstance(error, URLError) else error
    is_final = isinstance(reason, (ssl.SSLCertVerificationError, FileNotFoundError))
    return not is_final and getattr(reason, "errno", None) not in FULL


class _Redirects(HTTPRedirectHandler):
    max_redirections = 5

    def redirect_request(
        self,
        req: Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> Request | None:
        if urlsplit(newurl).scheme not in (req.type, "https"):
            raise HTTPError(req.full_url, code, "it redirects to an unprotected URL", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)

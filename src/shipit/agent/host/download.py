"""Fetch pieces of a file over HTTP, in a process of its own that has given up root.

It reads one line of JSON, {"url": ..., "pieces": [[offset, size], ...]}, and writes the bytes of
the pieces, one after another. After a failure the last line of stderr is JSON, too: {"code": ...,
"what": ...}, without the URL. Its caller believes neither: it counts the bytes, and compares their
digests.

Pieces that lie together are one request. A server without ranges sends the whole file, which is
read through. What breaks off is continued a few times. Redirects lead to http and https alone,
never from https to http, and take no credentials with them.
"""

import base64
import encodings.idna  # noqa: F401 - nothing can be imported from the agent's zip later
import http.client
import json
import os
import pwd
import re
import resource
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from typing import Any, BinaryIO, List, Tuple
from urllib.parse import unquote, urlsplit

from ..protocol.framing import LINE_LIMIT

TIMEOUT = 30.0  # seconds to connect, and between two reads
PAUSES = (0.2, 1.0)  # seconds before it is tried again
CHUNK = 256 * 1024  # bytes
NEAR = 256 * 1024  # bytes between two pieces that are read rather than asked for again
MEMORY = 1024 * 1024 * 1024  # bytes of addresses
NOBODY = 65534  # where the system has no account of that name
BUSY = (429, 500, 502, 503, 504)  # statuses of a server that may answer later
NO_NEW_PRIVILEGES = 38  # of prctl(2)
RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")

Pieces = List[Tuple[int, int]]  # offset and size of each


class Failed(Exception):
    """Why nothing more comes: a code and a sentence."""

    def __init__(self, code: str, what: str) -> None:
        super().__init__(what)
        self.code, self.what = code, what


def main(stdin: BinaryIO, stdout: BinaryIO) -> int:
    """Answer the one request on stdin; return the exit status."""
    ask = json.loads(stdin.readline(LINE_LIMIT))
    opener = opener_of()
    try:
        give_up_root()
        pieces = [(int(at), int(size)) for at, size in ask["pieces"]]
        Download(opener, ask["url"], pieces, stdout).run()
    except (Failed, ValueError) as error:
        failed = error if isinstance(error, Failed) else explained(error)
        sys.stderr.write("\n" + json.dumps({"code": failed.code, "what": failed.what}))
        return 1
    return 0


def give_up_root() -> None:
    """Become nobody, for good: without privileges, files to write, or processes to leave behind.

    A process that has changed its user can't be read or traced by others of that user.
    """
    for limit in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE, resource.RLIMIT_NPROC):
        resource.setrlimit(limit, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with suppress(ImportError, AttributeError, OSError):  # a Python without ctypes
        import ctypes  # noqa: PLC0415

        ctypes.CDLL(None).prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    if os.geteuid() != 0:
        return
    try:
        account = pwd.getpwnam("nobody")
        uid, gid = account.pw_uid or NOBODY, account.pw_gid or NOBODY
    except KeyError:
        uid = gid = NOBODY
    try:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as error:  # in a container without that user
        what = f"a process cannot become the user {uid} here: {error.strerror}"
        raise Failed("pull-failed", what) from error


class Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = 5

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        if urlsplit(newurl).scheme not in (req.type, "https"):
            raise Failed("pull-refused", "the server redirects to a URL that is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def opener_of() -> urllib.request.OpenerDirector:
    """Return what opens http and https: with the host's authorities, and this process's proxies."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        Redirects(),
    ):
        opener.add_handler(handler)
    return opener


def request_of(url: str) -> urllib.request.Request:
    """Return a request for a URL; its user and password become a header."""
    parts = urlsplit(url)
    login, _, host = parts.netloc.rpartition("@")
    plain = parts._replace(netloc=host, fragment="").geturl()
    headers = {"User-Agent": "shipit", "Accept-Encoding": "identity"}
    request = urllib.request.Request(plain, headers=headers)  # noqa: S310 - see opener_of
    if login:
        words = base64.b64encode(unquote(login).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {words}")
    return request


class Download:
    """What is still to be fetched; a piece that has come in part is the rest of it."""

    def __init__(
        self,
        opener: urllib.request.OpenerDirector,
        url: str,
        pieces: Pieces,
        out: BinaryIO,
    ) -> None:
        self._opener, self._url, self._out = opener, url, out
        self._rest = list(pieces)

    def run(self) -> None:
        """Write all pieces, which come in the order of their offsets.

        Raises:
            Failed: pull-refused by the server, or pull-failed on the way.
        """
        pauses = list(PAUSES)
        while self._rest:
            try:
                self._take()
            except (OSError, http.client.HTTPException, ValueError) as error:
                if not pauses or not may_pass(error):
                    raise explained(error) from error
                time.sleep(pauses.pop(0))

    def _take(self) -> None:
        """Make one request, and write the pieces that its answer has."""
        first = self._rest[0][0]
        end = end_of_first(self._rest)
        request = request_of(self._url)  # anew: a proxy's handler changes the one that it gets
        request.add_header("Range", f"bytes={first}-{end - 1}")
        with self._opener.open(request, timeout=TIMEOUT) as answer:
            at = start_of(answer.status, answer.headers, first)
            is_whole = answer.status != http.client.PARTIAL_CONTENT
            while self._rest and (is_whole or self._rest[0][0] < end):
                offset, size = self._rest[0]
                self._read(answer, offset - at)
                self._write(answer, offset, size)
                at = offset + size

    def _read(self, answer: Any, size: int) -> None:
        """Skip what lies between two pieces."""
        while size:
            size -= len(received(answer, min(size, CHUNK)))

    def _write(self, answer: Any, offset: int, size: int) -> None:
        while size:
            chunk = received(answer, min(size, CHUNK))
            self._out.write(chunk)
            self._out.flush()
            offset, size = offset + len(chunk), size - len(chunk)
            self._rest[0] = (offset, size)
        self._rest.pop(0)


def end_of_first(pieces: Pieces) -> int:
    """Return where the first pieces end that lie so near that one request is enough."""
    end = pieces[0][0]
    for offset, size in pieces:
        if offset - end > NEAR:
            break
        end = offset + size
    return end


def start_of(status: int, headers: Any, wanted: int) -> int:
    """Return the offset at which the body of an answer begins.

    Raises:
        Failed: pull-refused: it is another part than was asked for.
    """
    if status != http.client.PARTIAL_CONTENT:
        return 0
    found = RANGE.fullmatch(headers.get("Content-Range", ""))
    if not found or int(found[1]) != wanted:
        raise Failed("pull-refused", "the server sends another part of the file than was asked for")
    return wanted


def received(answer: Any, size: int) -> bytes:
    chunk: bytes = answer.read1(size)  # what is there: a slow link makes progress, too
    if not chunk:
        raise http.client.IncompleteRead(b"", size)
    return chunk


def may_pass(error: Exception) -> bool:
    """Whether another attempt may succeed; a server that says nothing was waited for already."""
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        return error.code in BUSY
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    lasting = (socket.timeout, socket.gaierror, ssl.SSLCertVerificationError)
    return isinstance(cause, (OSError, http.client.HTTPException)) and not isinstance(
        cause, lasting
    )


def explained(error: Exception) -> Failed:
    """Return an error as a sentence, in which nothing of the URL is."""
    if isinstance(error, urllib.error.HTTPError):
        return Failed("pull-refused", f"the server answers with status {error.code}")
    cause: Any = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, socket.timeout):
        return Failed("pull-failed", f"the server gave no answer within {TIMEOUT:g} s")
    if isinstance(cause, http.client.IncompleteRead):
        return Failed("pull-failed", "the connection broke off in the middle of the file")
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Failed("pull-failed", f"the server's certificate is refused: {cause.verify_message}")
    if isinstance(cause, OSError):
        return Failed(
            "pull-failed",
            f"the connection failed: {cause.strerror or type(cause).__name__}",
        )
    return Failed(
        "pull-failed",
        f"the URL, or the server's answer, is not valid HTTP ({type(cause).__name__})",
    )

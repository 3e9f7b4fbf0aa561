"""Ask a service whether it answers: one attempt, never longer than its timeout.

What counts as a good answer is decided by `gate`. A refused connection is an answer as well. Loaded
by `host` when something is asked: an HTTP client takes longer to import than all the rest.
"""

import http.client
import socket
import ssl
import threading
from contextlib import contextmanager
from typing import Callable, Iterator, Optional
from urllib.parse import urlsplit

from .host import Answer

BODY_LIMIT = 256 * 1024  # bytes read of an answer; a health check says what it has to say in that
AGENT = {"User-Agent": "shipit", "Accept": "*/*", "Connection": "close"}


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def get(url: str, timeout: float, socket_path: str = "") -> Answer:
    """GET `url`; redirects are not followed: they are an answer like any other."""
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection = _connection(parts.scheme, parts.hostname, parts.port, timeout, socket_path)
    except ValueError as error:
        return Answer(error=f"not a URL that can be asked: {error}")
    return _spoken(lambda: _get(connection, target, timeout), timeout)


def _connection(
    scheme: str, hostname: Optional[str], port: Optional[int], timeout: float, socket_path: str
) -> http.client.HTTPConnection:
    if socket_path:
        return _UnixConnection(socket_path, timeout)
    if not hostname or scheme not in ("http", "https"):
        raise ValueError("http://host:port/path is expected")
    if scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(hostname, port, timeout=timeout, context=context)
    return http.client.HTTPConnection(hostname, port, timeout=timeout)


def _get(connection: http.client.HTTPConnection, target: str, timeout: float) -> Answer:
    with _cut_after(connection, timeout):
        connection.request("GET", target, headers=AGENT)
        answer = connection.getresponse()
        return Answer(status=answer.status, body=answer.read(BODY_LIMIT))


@contextmanager
def _cut_after(connection: http.client.HTTPConnection, timeout: float) -> Iterator[None]:
    """Bound the whole exchange: a socket's own timeout starts anew with every byte."""
    is_late = threading.Event()
    timer = threading.Timer(timeout, _cut, [connection, is_late])
    timer.daemon = True
    timer.start()
    try:
        yield
    except (http.client.HTTPException, OSError) as error:
        if is_late.is_set():  # it was we who broke it off
            raise TimeoutError from error
        raise
    finally:
        timer.cancel()
        connection.close()


def _cut(connection: http.client.HTTPConnection, is_late: threading.Event) -> None:
    is_late.set()
    sock = connection.sock
    if sock is None:
        return
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it has just been closed: the exchange was over in time


def tcp(address: str, port: int, timeout: float) -> Answer:
    """Connect to a TCP port."""

    def attempt() -> Answer:
        socket.create_connection((address, port), timeout=timeout).close()
        return Answer()

    return _spoken(attempt, timeout)


def unix(path: str, timeout: float) -> Answer:
    """Connect to a unix stream socket."""

    def attempt() -> Answer:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(timeout)
            sock.connect(path)
        return Answer()

    return _spoken(attempt, timeout)


def _spoken(attempt: Callable[[], Answer], timeout: float) -> Answer:
    """Return the answer, or in words why there is none."""
    try:
        return attempt()
    except (socket.timeout, TimeoutError):
        return Answer(error=f"no answer within {timeout:g} s")
    except http.client.HTTPException as error:
        return Answer(error=f"not an HTTP answer: {type(error).__name__}: {error}")
    except OSError as error:
        return Answer(error=(error.strerror or str(error)).lower())
    except ValueError as error:  # a control character in the path, a port that is none
        return Answer(error=f"cannot be asked: {error}")

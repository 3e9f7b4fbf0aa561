"""Probe a service: one attempt, never longer than its timeout.

`gate` decides what a good answer is. A refused connection is an answer as well. `host` imports this
on demand: an HTTP client takes longer to import than all the rest.
"""

import http.client
import socket
import ssl
import threading
import time
from contextlib import closing, contextmanager, suppress
from typing import Callable, Iterator, Mapping
from urllib.parse import SplitResult, urlsplit

from . import connect
from .answer import Answer, Headers

BODY_LIMIT = 256 * 1024  # bytes read of an answer; enough for a health check
LOCATION_LIMIT = 300  # characters of a redirect's target
AGENT = {"User-Agent": "shipit", "Accept": "*/*", "Connection": "close"}


class _RedirectedConnection(http.client.HTTPConnection):
    """Connects to `via` instead of its host."""

    via = ""

    def connect(self) -> None:
        self.sock = connect.opened(self.via, self.timeout or 0.0)


class _RedirectedTlsConnection(_RedirectedConnection):
    """The same with TLS, for the requested name."""

    default_port = http.client.HTTPS_PORT

    def connect(self) -> None:
        super().connect()
        context = ssl.create_default_context()
        self.sock = context.wrap_socket(self.sock, server_hostname=self.host.strip("[]"))


def get(url: str, timeout: float, via: str = "", headers: Headers = None) -> Answer:
    """GET `url`; redirects are not followed: they are an answer like any other.

    `via`: where to connect instead: host:port or the path of a unix socket. The request
    names the URL's own host, unless `headers` has another Host, which TLS uses as well.
    """
    try:
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection = _connection(parts, timeout, via, _host_in(headers))
    except ValueError as error:
        return Answer(error=f"not a valid URL: {error}")
    return _answer(lambda: _get(connection, target, timeout, headers or {}), timeout)


def _host_in(headers: Headers) -> str:
    """Return the Host of the headers without its port; "" for none."""
    found = [value for key, value in (headers or {}).items() if key.lower() == "host"]
    return urlsplit(f"//{found[0]}").hostname or "" if found else ""


def _connection(
    parts: SplitResult, timeout: float, via: str, host: str
) -> http.client.HTTPConnection:
    secure = parts.scheme == "https"
    if not parts.hostname or parts.scheme not in ("http", "https"):
        raise ValueError("http://host:port/path is expected")
    port = parts.port or (http.client.HTTPS_PORT if secure else http.client.HTTP_PORT)
    kind = _RedirectedTlsConnection if secure else _RedirectedConnection
    connection = kind(host or parts.hostname, parts.port, timeout=timeout)
    connection.via = via or f"{parts.hostname}:{port}"
    return connection


def _get(
    connection: http.client.HTTPConnection,
    target: str,
    timeout: float,
    headers: Mapping[str, str],
) -> Answer:
    deadline = time.monotonic() + timeout
    with closing(connection):
        connection.connect()
        with _cut_at(deadline, connection.sock):
            connection.request("GET", target, headers={**AGENT, **headers})
            answer = connection.getresponse()
            location = (answer.getheader("Location") or "")[:LOCATION_LIMIT]
            return Answer("", answer.status, answer.read(BODY_LIMIT), location)


@contextmanager
def _cut_at(deadline: float, sock: socket.socket) -> Iterator[None]:
    """Limit a whole exchange: a socket's own timeout restarts with every byte.

    Raises:
        TimeoutError: it was cut off; what was read may look complete.
    """
    is_late = threading.Event()

    def cut() -> None:
        is_late.set()
        with suppress(OSError):  # already closed: the exchange ended in time
            sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, deadline - time.monotonic()), cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (http.client.HTTPException, OSError, ValueError) as error:
        if is_late.is_set():  # cut off here
            raise TimeoutError from error
        raise
    finally:
        timer.cancel()
    if is_late.is_set():
        raise TimeoutError


def tcp(address: str, port: int, timeout: float) -> Answer:
    """Connect to a TCP port."""
    return _connects(f"{address}:{port}", timeout)


def unix(path: str, timeout: float) -> Answer:
    """Connect to a unix stream socket."""
    return _connects(path, timeout)


def _connects(to: str, timeout: float) -> Answer:
    def attempt() -> Answer:
        connect.opened(to, timeout).close()
        return Answer()

    return _answer(attempt, timeout)


def _answer(attempt: Callable[[], Answer], timeout: float) -> Answer:
    """Return the answer of an attempt, or why there is none."""
    try:
        return attempt()
    except (socket.timeout, TimeoutError):
        return Answer(error=f"no answer within {timeout:g} s")
    except http.client.HTTPException as error:
        return Answer(error=f"not an HTTP answer: {type(error).__name__}: {error}")
    except OSError as error:
        return Answer(error=(error.strerror or str(error)).lower())
    except ValueError as error:  # a control character in the path, an invalid port
        return Answer(error=f"cannot be requested: {error}")

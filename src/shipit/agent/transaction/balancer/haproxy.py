"""A client of haproxy's runtime API: one command a connection. Believes nothing that it answers.

`state drain` lets connections end, and sends no new ones except those of clients that a cookie
binds to this server. haproxy's own health checks go on meanwhile.
"""

import errno
import re
from typing import Callable, List, Optional, Sequence, Tuple

from ...host.connect import AmbiguousError
from ...host.host import Host
from ...protocol.balancers import Haproxy
from ...protocol.messages import Failure
from ...protocol.values import dataclass
from ...system.failures import Refused

TIMEOUT = 5.0  # seconds for one command
POLL = 0.1  # seconds
GROWTH, LONGEST_PAUSE = 1.5, 1.0  # of the pauses between tries; seconds
QUIET = 2  # looks without a connection: one may be on its way during the first
UP_WITHIN = 30.0  # seconds for haproxy's own health check to pass
SHOWN = 200  # characters of an answer in a failure
EVERY_PROXY = "-1"  # haproxy before 2.0 knows no name here
STEP = "load-balancer"
FINAL = ("haproxy-denied", "haproxy-no-server")  # another try would not help

Interrupted = Callable[[], Optional[Failure]]


class NoneDrained(Refused):
    """No haproxy has drained this server: each has refused to."""


@dataclass(frozen=True)
class Server:
    """This host as one haproxy has it."""

    sessions: int
    status: str  # UP, DRAIN, MAINT, DOWN 1/2, no check ...

    @property
    def is_up(self) -> bool:
        return self.status.startswith("UP") or self.status == "no check"


def look(host: Host, of: Haproxy) -> None:
    """Check that each haproxy answers and has this server, before any of them is changed.

    Raises:
        Refused: haproxy-unreachable, haproxy-no-server, haproxy-answer.
    """
    for socket in of.sockets:
        server_at(host, socket, of)


def drain(host: Host, of: Haproxy, wait: float, interrupted: Interrupted) -> int:
    """Let no new connections begin; return how many are left when none is, or after `wait` seconds.

    A haproxy that fails does not hold up the others.

    Raises:
        NoneDrained: each of them has refused it.
        Refused: haproxy-*; or it was interrupted.
    """
    refused = {socket: _refusal(host, socket, of, "drain") for socket in of.sockets}
    failures = [failure for failure in refused.values() if failure is not None]
    reached = [socket for socket, failure in refused.items() if failure is None]
    if not reached and all(failure.code in FINAL for failure in failures):
        raise NoneDrained(failures[0])
    left, lost = _left(host, of, reached, wait, interrupted)
    for failure in (*failures, *lost):
        raise Refused(failure)
    return left


def _left(
    host: Host, of: Haproxy, sockets: Sequence[str], wait: float, interrupted: Interrupted
) -> Tuple[int, List[Failure]]:
    """Wait until this server has no connections, or time is over.

    Return how many it has, and why some were not waited for: they failed twice in a row.
    """
    began, pause, quiet, lost = host.now(), POLL, 0, []
    failed = dict.fromkeys(sockets, False)
    while True:
        left = 0
        for socket, again in list(failed.items()):
            try:
                left += server_at(host, socket, of).sessions
                failed[socket] = False
            except Refused as refused:
                failed[socket] = True
                if again:
                    del failed[socket]
                    lost.append(refused.failure)
        quiet = 0 if left or any(failed.values()) else quiet + 1
        if quiet >= QUIET or (quiet == 0 and host.now() - began >= wait):
            return left, lost
        if failure := interrupted():
            raise Refused(failure)
        host.sleep(pause)
        pause = min(pause * GROWTH, LONGEST_PAUSE)


def undrain(host: Host, of: Haproxy, within: float, interrupted: Interrupted) -> None:
    """Let new connections begin, and wait until each haproxy says that this server is up.

    Tries again where one does not answer, for `within` seconds. One that fails does not hold up
    the others.

    Raises:
        Refused: haproxy-*; or it was interrupted.
    """
    began, pause = host.now(), POLL
    while True:
        found = {socket: _not_up(host, socket, of) for socket in of.sockets}
        failures = [failure for failure in found.values() if failure is not None]
        if not failures:
            return
        is_final = any(failure.code in FINAL for failure in failures)
        if is_final or host.now() - began >= within:
            raise Refused(failures[0])
        if failure := interrupted():
            raise Refused(failure)
        host.sleep(pause)
        pause = min(pause * GROWTH, LONGEST_PAUSE)


def _not_up(host: Host, socket: str, of: Haproxy) -> Optional[Failure]:
    """Undrain in one haproxy; return why this server is not up there."""
    if failure := _refusal(host, socket, of, "ready"):
        return failure
    try:
        server = server_at(host, socket, of)
    except Refused as refused:
        return refused.failure
    if server.is_up:
        return None
    what = f"haproxy at {socket} says that {of.name} is {server.status[:SHOWN]}"
    hint = "this host's own health checks have passed: compare them with those of haproxy"
    return Failure("haproxy-not-up", what, STEP, hint)


# --- one command -------------------------------------------------------------------------------


def _refusal(host: Host, socket: str, of: Haproxy, state: str) -> Optional[Failure]:
    """Set the state of this server; return why that was not possible."""
    try:
        answer = _asked(host, socket, f"set server {of.name} state {state}").strip()
    except Refused as refused:
        return refused.failure
    return failure_in(answer, socket, of) if answer else None  # it says nothing if it has done it


def server_at(host: Host, socket: str, of: Haproxy) -> Server:
    """Return this server as one haproxy has it.

    Raises:
        Refused: haproxy-unreachable, haproxy-no-server, haproxy-answer.
    """
    answer = ""
    for proxy in (of.backend, EVERY_PROXY):
        answer = _asked(host, socket, f"show stat {proxy} 4 -1")
        server = parsed(answer, of)
        if server is not None:
            return server
    raise Refused(failure_in(answer.strip(), socket, of))


def _asked(host: Host, socket: str, line: str) -> str:
    try:
        return host.asked(socket, line, timeout=TIMEOUT)
    except AmbiguousError as error:
        what = f"haproxy at {socket} may be several, of which one would be asked: {error.strerror}"
        hint = "name each of them in `sockets`, by a name or an address of its own"
        raise Refused(Failure("haproxy-ambiguous", what, STEP, hint)) from error
    except OSError as error:
        if error.errno == errno.EMSGSIZE:
            what = f"haproxy at {socket} has too many servers: {error.strerror}"
            hint = "haproxy 2.0 or later is asked for one backend only"
            raise Refused(Failure("haproxy-answer", what, STEP, hint)) from error
        what = f"haproxy at {socket} does not answer: {error.strerror or error}"
        hint = "is it running? it needs `stats socket ... level admin` at that address"
        raise Refused(Failure("haproxy-unreachable", what, STEP, hint)) from error


def parsed(answer: str, of: Haproxy) -> Optional[Server]:
    """Return this server in what `show stat` says; None if it is not there, or makes no sense."""
    header, *lines = answer.splitlines() or [""]
    names = header.lstrip("# ").split(",")
    for line in lines:
        row = dict(zip(names, line.split(",")))  # what is quoted comes later in a line
        if (row.get("pxname"), row.get("svname")) == (of.backend, of.server):
            sessions = row.get("scur", "")
            is_number = re.fullmatch("[0-9]{1,12}", sessions)
            return Server(int(sessions), row.get("status", "")) if is_number else None
    return None


def failure_in(answer: str, socket: str, of: Haproxy) -> Failure:
    """Return what an answer means that is not the expected one."""
    said = answer.split("\n", maxsplit=1)[0][:SHOWN]
    if said.startswith("Permission denied"):
        what = f"haproxy at {socket} does not let this host change servers: {said}"
        return Failure("haproxy-denied", what, STEP, "its `stats socket` needs `level admin`")
    if said.startswith("No such") or answer.startswith("# pxname,svname,"):
        what = f"haproxy at {socket} has no server {of.name}"
        hint = "compare `backend` and `server` of load_balancer with its configuration"
        return Failure("haproxy-no-server", what, STEP, hint)
    what = f"haproxy at {socket} gives an unexpected answer: {said!r}"
    hint = "is this the runtime API of a haproxy of version 1.8 or later?"
    return Failure("haproxy-answer", what, STEP, hint)

"""Reach a host and talk to its agent: over ssh, or on this machine.

    with Network() as network:
        link = connect(endpoint(host), agent_zip.build(), network)
        wire = link.open()
        wire.send(messages.Hello(...))
        frame = wire.receive(30.0, "the host's facts")

One connection and one control channel per host. Each failure is an Unreachable or HostError with a
code, a description and a hint. `close` leaves no thread, process or descriptor. The meaning of
frames is not known here. The parts: `endpoint` reads the inventory, `ssh` connects, `bootstrap`
starts the agent, `channel` exchanges frames, `upload` sends blobs.
"""

from __future__ import annotations

import os
import select
import shlex
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import paramiko

from shipit.transport import bootstrap
from shipit.transport.channel import FrameWire, Link, start
from shipit.transport.ssh import auth
from shipit.transport.ssh.proxy_command import wait_or_kill

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shipit.errors import Unreachable
    from shipit.transport.agent_zip import AgentZip
    from shipit.transport.channel import Stream
    from shipit.transport.endpoint import Endpoint
    from shipit.transport.ssh.client import Connection, Network

_SEND_TIMEOUT = 180.0  # seconds without progress: the host may be syncing a slow disk
_CHUNK = 256 * 1024  # bytes
_STDERR_KEPT = 8000  # bytes
_STATUS_WAIT = 2.0  # seconds between the end of the output and the exit status


def connect(
    endpoint: Endpoint, agent: AgentZip, network: Network, connection: Connection | None = None
) -> Link:
    """Connect to a host, unless there is a connection already.

    Raises:
        Unreachable: as in Network.connect; never for a local host.
        InputError: known_hosts or ~/.ssh/config cannot be read.
    """
    if endpoint.connection == "local":
        return _LocalLink(endpoint, agent)
    return _SshLink(endpoint, agent, connection or network.connect(endpoint))


@contextmanager
def session(endpoint: Endpoint, network: Network, argv: Sequence[str]) -> Iterator[Stream]:
    """Run a program on a host as the login user, without an agent; it is ended at the end.

    Raises:
        Unreachable: as in Network.connect, or the codes of a refused channel.
    """
    with ExitStack() as stack:
        stream: Stream
        if endpoint.connection == "local":
            stream = _LocalStream(tuple(argv))
        else:
            connection = network.connect(endpoint)
            stack.callback(connection.close)
            stream, _ = _run(connection, endpoint, "exec " + shlex.join(argv))
        stack.callback(stream.close)
        yield stream


class _Link:
    """Starts agents on one host; each has a stream of its own."""

    rtt = 0.0

    def __init__(self, endpoint: Endpoint, agent: AgentZip) -> None:
        self.name = endpoint.name
        self._endpoint, self._agent = endpoint, agent
        self._streams: list[Stream] = []

    def open(self, role: str = "serve") -> FrameWire:
        stream = self._stream(bootstrap.Launch.of(self._endpoint))
        self._streams.append(stream)
        return start(stream, self._endpoint, self._agent, role)

    def _stream(self, launch: bootstrap.Launch) -> Stream:
        raise NotImplementedError

    def close(self) -> None:
        for stream in self._streams:
            stream.close()


class _SshLink(_Link):
    def __init__(self, endpoint: Endpoint, agent: AgentZip, connection: Connection) -> None:
        super().__init__(endpoint, agent)
        self._connection = connection
        self._trips: list[float] = []

    def _stream(self, launch: bootstrap.Launch) -> Stream:
        stream, trips = _run(self._connection, self._endpoint, launch.command)
        self._trips += trips
        self.rtt = min(self._trips)
        return stream

    def close(self) -> None:
        super().close()
        self._connection.close()


def _run(
    connection: Connection, endpoint: Endpoint, command: str
) -> tuple[_ChannelStream, list[float]]:
    """Run a command on a host; return its stream, and how long its two round trips took."""
    transport = connection.transport
    patience = max(auth.SESSION_TIMEOUT, endpoint.connect_timeout)
    begin = time.perf_counter()
    try:
        channel = transport.open_session(timeout=patience)
        opened = time.perf_counter()
        channel.exec_command(command)
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise _refused(endpoint, error, patience, is_active=transport.is_active()) from error
    trips = [opened - begin, time.perf_counter() - opened]
    return _ChannelStream(channel, transport), trips


def _refused(
    endpoint: Endpoint, error: Exception, patience: float, *, is_active: bool
) -> Unreachable:
    if "Timeout" in str(error):  # paramiko has no type for it
        what = f"logged in, but the host opened no session within {patience:g} s"
        hint = "PAM or logind may wait for something: see its journal (ssh, systemd-logind)"
        return endpoint.unreachable("session-timeout", what, hint)
    code, hint = "link-lost", "run the command again"
    # Of several refused at once paramiko calls only one a ChannelException.
    if is_active:
        code = "channel-refused"
        hint = "raise MaxSessions in the host's sshd_config (10 is its default)"
    return endpoint.unreachable(code, f"sshd opened no channel: {error!r}", hint)


class _LocalLink(_Link):
    def __init__(self, endpoint: Endpoint, agent: AgentZip) -> None:
        # As Ansible: our own Python, not the first on the PATH; not a venv's, which may be deleted.
        python = endpoint.python or os.path.realpath(sys.executable)
        super().__init__(replace(endpoint, python=python), agent)

    def _stream(self, launch: bootstrap.Launch) -> Stream:
        return _LocalStream(launch.argv)


class _ChannelStream:
    """The bytes of an ssh channel as a Stream."""

    def __init__(self, channel: paramiko.Channel, transport: paramiko.Transport) -> None:
        self._channel, self._transport = channel, transport
        self._stderr = b""
        channel.settimeout(_SEND_TIMEOUT)  # of writes only: reads are polled
        self._poll = select.poll()
        self._poll.register(channel.fileno(), select.POLLIN)

    def read(self, timeout: float) -> bytes | None:
        if not self._poll.poll(timeout * 1000):
            return None
        channel = self._channel
        ended = channel.eof_received or channel.closed  # before reading: then all has arrived
        while channel.recv_stderr_ready():
            self._stderr = (self._stderr + channel.recv_stderr(_CHUNK))[-_STDERR_KEPT:]
        if channel.recv_ready():
            return channel.recv(_CHUNK)
        return b"" if ended else None

    def write(self, content: bytes) -> None:
        # A view: sendall slices off each packet, which would copy the remaining bytes every time.
        with _lost_as_os_error():
            self._channel.sendall(memoryview(content))  # type: ignore[arg-type]

    def close_send(self) -> None:
        with _lost_as_os_error():
            self._channel.shutdown_write()

    def close(self) -> None:
        with suppress(OSError, EOFError, paramiko.SSHException):  # the link may be gone
            self._channel.close()

    def stderr(self) -> str:
        return self._stderr.decode(errors="replace")

    def status(self) -> int | None:
        if self._channel.eof_received or self._channel.closed:
            self._channel.status_event.wait(_STATUS_WAIT)
        status = self._channel.exit_status
        return status if self._channel.exit_status_ready() and status >= 0 else None

    def is_up(self) -> bool:
        return self._transport.is_active()


@contextmanager
def _lost_as_os_error() -> Iterator[None]:
    """Raise paramiko's errors of a lost connection as the OSError of a stream."""
    try:
        yield
    except (EOFError, paramiko.SSHException) as error:
        raise ConnectionError(f"the connection has ended: {error!r}") from error


class _LocalStream:
    """The stdin, stdout and stderr of a process on this machine as a Stream."""

    def __init__(self, argv: tuple[str, ...]) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                argv,
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.PIPE,
                bufsize=0,
            )
        self._socket.settimeout(_SEND_TIMEOUT)
        self._stderr = b""
        self._errors = self._process.stderr.fileno() if self._process.stderr else -1
        self._stderr_open = True
        self._poll, self._errors_poll = select.poll(), select.poll()
        self._poll.register(self._socket, select.POLLIN)
        for poll in (self._poll, self._errors_poll):
            poll.register(self._errors, select.POLLIN)

    def read(self, timeout: float) -> bytes | None:
        ready = [descriptor for descriptor, _ in self._poll.poll(timeout * 1000)]
        if self._errors in ready:
            self._read_stderr()
        if self._socket.fileno() not in ready:
            return None
        try:
            content = self._socket.recv(_CHUNK)
        except ConnectionResetError:  # it ended without reading everything; its output comes next
            return None
        if not content:
            self._read_stderr()  # the last lines
        return content

    def _read_stderr(self) -> None:
        while self._stderr_open and self._errors_poll.poll(0):
            content = os.read(self._errors, _CHUNK)
            self._stderr = (self._stderr + content)[-_STDERR_KEPT:]
            if not content:
                self._poll.unregister(self._errors)
                self._stderr_open = False

    def write(self, content: bytes) -> None:
        self._socket.sendall(content)

    def close_send(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._socket.close()
        wait_or_kill(self._process)
        if self._process.stderr:
            self._process.stderr.close()

    def stderr(self) -> str:
        return self._stderr.decode(errors="replace")

    def status(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STATUS_WAIT)
        return self._process.returncode

    def is_up(self) -> bool:
        return True

"""Start an agent over a byte stream, and exchange frames with it.

Each wait ends at its timeout with a HostError that names what was awaited. Frames of several
senders do not mix. A broken link and an agent that ended are different errors. `connect` has the
streams for ssh and for a local process.
"""

from __future__ import annotations

import json
import threading
import time
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from shipit.agent.protocol import messages
from shipit.errors import HostError, Unreachable
from shipit.transport import bootstrap

if TYPE_CHECKING:
    from shipit.transport.agent_zip import AgentZip
    from shipit.transport.endpoint import Endpoint

START_TIMEOUT = 60.0  # seconds; a sudo without DNS takes 20
ANSWER_LIMIT = 8 * 1024 * 1024  # bytes of one answer; a manifest of 1,000 wheels has 2 MiB
INSTALL_TIMEOUT = 120.0  # seconds to write the agent on a slow disk


class Stream(Protocol):
    """Bytes in both directions, and the stderr of the other process."""

    def read(self, timeout: float) -> bytes | None:
        """Return the next bytes; b"" at the end; None if there are none before the timeout."""

    def write(self, content: bytes) -> None:
        """Send all bytes; raise OSError if the link is lost or stuck for minutes."""

    def close_send(self) -> None: ...
    def close(self) -> None: ...
    def stderr(self) -> str:
        """Return the end of the other process's stderr."""

    def status(self) -> int | None:
        """Return its exit status once it has ended; waits a moment for it at the end."""

    def is_up(self) -> bool:
        """Whether the link itself is still up."""


class Wire(Protocol):
    """Frames to and from one agent; documented in FrameWire."""

    def send(self, message: object, body: bytes = b"") -> None: ...
    def receive(self, timeout: float, awaited: str = "an answer") -> messages.Frame | None: ...
    def close_send(self) -> None: ...
    def close(self) -> None: ...


class Link(Protocol):
    """A connection to one host, on which agents can be started."""

    @property
    def name(self) -> str:
        """The inventory's name of the host."""

    @property
    def rtt(self) -> float:
        """Seconds: the best round trip so far; 0.0 before the first `open`."""

    def open(self, role: str = "serve") -> Wire:
        """Start an agent in this role: `serve` for the control channel, `receive` for bulk data.

        Raises:
            Unreachable: the codes of bootstrap.diagnose, channel-refused, agent-not-installed.
        """

    def close(self) -> None: ...


class FrameWire:
    """Frames to and from one agent. `receive` is for one thread, `send` for any.

    Attributes:
        noise: the end of the login shell's output before the agent's.
    """

    def __init__(self, name: str, stream: Stream) -> None:
        self.name = name
        self.noise = b""
        self._stream = stream
        self._buffer = bytearray()
        self._sending = threading.Lock()

    @property
    def stderr(self) -> str:
        """The end of the agent's stderr: tracebacks of our own bugs."""
        return self._stream.stderr()

    def send(self, message: Any, body: bytes = b"") -> None:  # noqa: ANN401 - any word of protocol
        """Send one frame.

        Raises:
            HostError: link-lost.
        """
        self.write(messages.pack(message, len(body)) + body)

    def write(self, content: bytes) -> None:
        """Send raw bytes, before the first frame."""
        try:
            with self._sending:
                self._stream.write(content)
        except OSError as error:
            raise self._lost(f"sending failed: {error}") from error

    def receive(self, timeout: float, awaited: str = "an answer") -> messages.Frame | None:
        """Return the next frame; None if the agent has ended.

        Raises:
            HostError: no-answer (timeout), link-lost, agent-died, not-a-frame.
        """
        deadline = time.monotonic() + timeout
        try:
            line = self._line(deadline, awaited)
            if line is None:
                self._check_end()
                return None
            message, size = messages.unpack(line)
        except messages.ProtocolError as error:
            raise self.error(
                "not-a-frame", f"the agent sent something that is not a frame: {error}"
            ) from error
        while len(self._buffer) < size:
            if not self._pump(deadline, awaited):
                raise self._lost("the connection ended inside a frame")
        return messages.Frame(message, self._take(size))

    def find(self, start: bytes, timeout: float) -> bytes | None:
        """Return the first line that begins with `start`, skipping others.

        None at the end of the stream, if sudo has rejected a password (it would wait for another),
        or after too much noise; `noise` then has its end.

        Raises:
            HostError: no-answer, link-lost.
        """
        deadline = time.monotonic() + timeout
        passed = 0
        while passed + len(self._buffer) < bootstrap.NOISE_LIMIT:
            if (at := self._buffer.find(b"\n")) >= 0:
                line = self._take(at + 1)
                if line.startswith(start):
                    return line
                passed += len(line)
                self.noise = (self.noise + line)[-bootstrap.NOISE_KEPT :]
            elif bootstrap.refused_password(self.stderr) or not self._pump(deadline, "its start"):
                break
        self.noise = (self.noise + self._take(len(self._buffer)))[-bootstrap.NOISE_KEPT :]
        return None

    def close_send(self) -> None:
        """Announce that no more frames will be sent; answers may still arrive."""
        try:
            self._stream.close_send()
        except OSError as error:
            raise self._lost(f"closing failed: {error}") from error

    def close(self) -> None:
        self._stream.close()

    def start_failure(self) -> bootstrap.StartFailure:
        """Return the traces of an agent that did not start."""
        return bootstrap.StartFailure(self._stream.status(), self.noise, self.stderr)

    def _line(self, deadline: float, awaited: str) -> bytes | None:
        seen = 0
        while (at := self._buffer.find(b"\n", seen)) < 0:
            seen = len(self._buffer)
            if seen > ANSWER_LIMIT:
                raise messages.ProtocolError(f"a line of more than {ANSWER_LIMIT} bytes")
            if not self._pump(deadline, awaited):
                if self._buffer:
                    raise self._lost("the connection ended inside a frame")
                return None
        return self._take(at + 1)

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _pump(self, deadline: float, awaited: str) -> bool:
        """Read once; False at the end of the stream, True even if nothing arrived."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise self.error(
                "no-answer",
                f"the host did not answer in time; waited for {awaited}",
                hint="the host may hang or be overloaded: check its load and disks (dmesg), then"
                " run the command again",
            )
        try:
            content = self._stream.read(left)
        except OSError as error:
            raise self._lost(str(error)) from error
        self._buffer += content or b""
        return content != b""

    def _check_end(self) -> None:
        if not self._stream.is_up():
            raise self._lost("the connection broke")
        if status := self._stream.status():
            raise self.error("agent-died", f"the agent ended with exit status {status}")

    def _lost(self, what: str) -> HostError:
        hint = "run the command again: the host first settles the open transaction"
        return self.error("link-lost", what, hint=hint)

    def error(self, code: str, what: str, *, hint: str = "") -> HostError:
        """Return an error of this wire, with the agent's stderr as evidence."""
        return HostError(code, what, host=self.name, hint=hint, evidence=self.stderr)


def start(stream: Stream, endpoint: Endpoint, agent: AgentZip, role: str = "serve") -> FrameWire:
    """Start the agent at the other end of a stream on which `Launch.command` was just run.

    Raises:
        Unreachable: the codes of bootstrap.diagnose, agent-not-installed, no-answer, link-lost; the
            stream is closed then.
    """
    wire = FrameWire(endpoint.name, stream)
    try:
        _start(wire, endpoint, agent, role)
    except BaseException as error:
        wire.close()
        if isinstance(error, HostError) and not isinstance(error, Unreachable):
            reported = error.code, error.what, error.hint, error.evidence
            raise endpoint.unreachable(*reported) from error
        raise
    return wire


def _start(wire: FrameWire, endpoint: Endpoint, agent: AgentZip, role: str) -> None:
    if endpoint.become and (password := endpoint.become_password):
        wire.write(password.reveal().encode() + b"\n")
        if wire.find(bootstrap.READY, START_TIMEOUT) is None:
            raise bootstrap.diagnose(endpoint, wire.start_failure())
    with suppress(HostError):  # it may have ended already; its output explains more
        wire.write(bootstrap.greeting(agent, role))
    reply = _reply(wire, endpoint, START_TIMEOUT)
    if reply["boot"] == "need":
        packed = zlib.compress(agent.content, 9)
        wire.write(b"%d\n%b" % (len(packed), packed))
        reply = _reply(wire, endpoint, INSTALL_TIMEOUT)
    if reply["boot"] != "have":
        raise bootstrap.not_installed(endpoint, reply)


def _reply(wire: FrameWire, endpoint: Endpoint, timeout: float) -> dict[str, Any]:
    line = wire.find(bootstrap.BOOT, timeout)
    if line is None:
        raise bootstrap.diagnose(endpoint, wire.start_failure())
    try:
        reply = json.loads(line)
    except (ValueError, RecursionError):
        reply = None
    if not isinstance(reply, dict) or not isinstance(reply.get("boot"), str):
        raise wire.error(
            "not-a-frame", f"the agent did not start as one of ours does: {line[:200]!r}"
        )
    return reply

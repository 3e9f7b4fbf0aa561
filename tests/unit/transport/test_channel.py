from __future__ import annotations

import threading
import zlib

import pytest

import echo_agent
from shipit.agent.protocol import messages
from shipit.errors import HostError, Unreachable
from shipit.secrets import Secret
from shipit.transport import bootstrap
from shipit.transport.channel import FrameWire, start
from shipit.transport.endpoint import Endpoint

AGENT = echo_agent.build()
PLACE = Endpoint("web1", "web1")
PATIENCE = 60.0  # seconds
HAVE, NEED = b'\n{"boot": "have"}\n', b'\n{"boot": "need"}\n'


class Script:
    """A stream whose other end says what was written beforehand."""

    def __init__(self, *says: bytes | None, stderr: str = "", status: int | None = 0) -> None:
        self.says = list(says)
        self.written = b""
        self.closed = False
        self.up = True
        self._stderr, self._status = stderr, status

    def read(self, timeout: float) -> bytes | None:
        return self.says.pop(0) if self.says else b""

    def write(self, content: bytes) -> None:
        if self.closed or not self.up:
            raise OSError("Socket is closed")
        self.written += content

    def close_send(self) -> None:
        self.written += b"EOF"

    def close(self) -> None:
        self.closed = True

    def stderr(self) -> str:
        return self._stderr

    def status(self) -> int | None:
        return self._status

    def is_up(self) -> bool:
        return self.up


def frame(text: str, body: bytes = b"") -> bytes:
    return messages.pack(messages.LogLines(text), len(body)) + body


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_frames_are_assembled_from_any_pieces(step: int) -> None:
    sent = frame("one", b"\nbody\n") + frame("two") + frame("three", b"x" * 99)
    wire = FrameWire("web1", Script(*(sent[i : i + step] for i in range(0, len(sent), step))))
    frames = [wire.receive(PATIENCE) for _ in range(3)]
    assert [f and (f.message.text, f.body) for f in frames] == [
        ("one", b"\nbody\n"),
        ("two", b""),
        ("three", b"x" * 99),
    ]
    assert wire.receive(PATIENCE) is None


def test_a_timeout_names_what_was_awaited() -> None:
    class Never(Script):
        def read(self, timeout: float) -> bytes | None:
            return None

    with pytest.raises(HostError, match="waited for the facts") as caught:
        FrameWire("web1", Never()).receive(0.0, "the facts")
    assert caught.value.code == "no-answer"


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        (Script(frame("one")[:5]), "link-lost"),
        (Script(frame("one", b"body")[:-1]), "link-lost"),
        (Script(b"Traceback\n"), "not-a-frame"),
        (Script(b'{"kind":"Nonsense","size":0}\n'), "not-a-frame"),
        (Script(status=1, stderr="oops"), "agent-died"),
    ],
)
def test_each_abnormal_end_has_its_code(stream: Script, code: str) -> None:
    with pytest.raises(HostError) as caught:
        FrameWire("web1", stream).receive(PATIENCE)
    assert caught.value.code == code


def test_a_broken_link_is_not_an_end() -> None:
    stream = Script()
    stream.up = False
    wire = FrameWire("web1", stream)
    with pytest.raises(HostError, match="link-lost"):
        wire.receive(PATIENCE)
    with pytest.raises(HostError, match="link-lost"):
        wire.send(messages.End())


def test_frames_of_several_senders_do_not_mix() -> None:
    class Slow(Script):
        def write(self, content: bytes) -> None:
            for byte in content:
                self.written += bytes([byte])

    stream = Slow()
    wire = FrameWire("web1", stream)

    def send() -> None:
        for _ in range(20):
            wire.send(messages.LogLines("x" * 50), b"y" * 50)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reader = FrameWire("web1", Script(stream.written))
    assert sum(reader.receive(PATIENCE) is not None for _ in range(80)) == 80


# --- the start ---------------------------------------------------------------------------------


def test_an_installed_agent_is_not_sent_again() -> None:
    stream = Script(b"Welcome!\nno newline", HAVE + frame("hello"))
    wire = start(stream, PLACE, AGENT, "receive")
    assert stream.written == bootstrap.greeting(AGENT, "receive")
    first = wire.receive(PATIENCE)
    assert first is not None
    assert first.message.text == "hello"


def test_a_missing_agent_is_sent() -> None:
    stream = Script(NEED, HAVE)
    start(stream, PLACE, AGENT)
    packed = zlib.compress(AGENT.content, 9)
    assert stream.written.endswith(b"\n%d\n%b" % (len(packed), packed))


def test_the_password_is_sent_first_and_the_rest_after_the_loader_is_ready() -> None:
    class Waiting(Script):
        def read(self, timeout: float) -> bytes | None:
            if len(self.says) == 2:
                assert self.written == b"sentinel\n"
            return super().read(timeout)

    place = Endpoint("web1", "web1", become=True, become_password=Secret("sentinel"))
    stream = Waiting(b"shipit-ready\n", HAVE)
    start(stream, place, AGENT)
    assert stream.written.startswith(b"sentinel\nshipit-boot ")


def test_nothing_is_sent_after_a_refused_password() -> None:
    place = Endpoint("web1", "web1", become=True, become_password=Secret("sentinel"))
    stream = Script(None, stderr="Sorry, try again.\n", status=None)
    with pytest.raises(Unreachable) as caught:
        start(stream, place, AGENT)
    assert caught.value.code == "sudo-password-wrong"
    assert stream.written == b"sentinel\n"
    assert stream.closed


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        (Script(status=86), "python-missing"),
        (Script(b"x\n" * 200_000), "login-shell-noise"),
        (Script(*[b"x" * 100_000] * 9), "login-shell-noise"),
        (Script(NEED, b'\n{"boot": "failed", "what": "x", "errno": 30}\n'), "agent-not-installed"),
        (Script(NEED, status=1), "agent-not-started"),
    ],
)
def test_an_agent_that_does_not_start_is_unreachable_and_leaves_nothing_open(
    stream: Script, code: str
) -> None:
    with pytest.raises(Unreachable) as caught:
        start(stream, PLACE, AGENT)
    assert caught.value.code == code
    assert stream.closed

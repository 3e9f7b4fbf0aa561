from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from shipit.agent.protocol import messages
from shipit.errors import HostError, Unreachable
from shipit.transport import upload

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("rtt", "total", "expected"),
    [
        (0.0, 0, 0),
        (0.0, 500 * MIB, 0),  # the host's own speed is the limit
        (0.01, 500 * MIB, 0),
        (0.1, 0, 0),
        (0.1, 1 * MIB, 0),  # opening channels would cost more than it gains
        (0.1, 20 * MIB, 3),
        (0.1, 40 * MIB, 5),
        (0.025, 40 * MIB, 2),
        (0.2, 500 * MIB, 5),
    ],
)
def test_extra_channels_are_opened_only_if_they_are_faster(
    rtt: float, total: int, expected: int
) -> None:
    assert upload.channels(rtt, total) == expected


@dataclass(frozen=True)
class File:
    sha256: str
    path: Path
    size: int


def file_of(path: Path, content: bytes) -> File:
    path.write_bytes(content)
    return File(path.name, path, len(content))


class Host:
    """Both ends of a link whose host puts parts together."""

    name = "web1"

    def __init__(self, rtt: float = 0.0, channels: int = 99) -> None:
        self.rtt, self.channels = rtt, channels
        self.blobs: dict[str, dict[int, bytes]] = {}
        self.wires: list[Wire] = []
        self.answer: object = messages.End()

    def open(self, role: str = "serve") -> Wire:
        if len(self.wires) >= self.channels:
            raise Unreachable("channel-refused", "too many", host=self.name)
        made = Wire(self, role)
        self.wires.append(made)  # by several threads
        return made

    def close(self) -> None: ...

    def content(self, name: str) -> bytes:
        return b"".join(body for _, body in sorted(self.blobs[name].items()))


class Wire:
    def __init__(self, host: Host, role: str) -> None:
        self.host, self.role, self.parts, self.closed = host, role, 0, False

    def send(self, message: object, body: bytes = b"") -> None:
        assert isinstance(message, messages.Part)
        self.host.blobs.setdefault(message.sha256, {})[message.offset] = body
        self.parts += 1

    def receive(self, timeout: float, awaited: str = "") -> messages.Frame | None:
        return messages.Frame(self.host.answer, b"")

    def close_send(self) -> None: ...
    def close(self) -> None:
        self.closed = True


def shipped(
    host: Host, files: list[File], progress: Callable[[int], None] = lambda _: None
) -> tuple[int, Wire]:
    wire = Wire(host, "serve")
    return upload.ship(host, wire, files, progress), wire


def test_a_small_upload_uses_the_control_channel(tmp_path: Path) -> None:
    contents = [b"", b"a" * MIB, b"b" * (MIB + 1)]
    files = [file_of(tmp_path / str(i), content) for i, content in enumerate(contents)]
    host, done = Host(), list[int]()
    count, wire = shipped(host, files, done.append)
    assert count == wire.parts == 1 + MIB // upload.PART + (MIB // upload.PART + 1)
    assert [host.content(file.sha256) for file in files] == contents
    assert done[-1] == 2 * MIB + 1


def test_a_large_upload_with_high_latency_uses_several_channels(tmp_path: Path) -> None:
    content = bytes(range(256)) * 4096 * 40
    host = Host(rtt=0.1)
    count, wire = shipped(host, [file_of(tmp_path / "a", content)])
    assert count == wire.parts == 0
    assert [w.role for w in host.wires] == ["receive"] * 5
    assert all(w.closed for w in host.wires)
    assert host.content("a") == content


@pytest.mark.parametrize("allowed", [0, 1])
def test_the_share_of_a_refused_channel_is_sent_by_the_others(tmp_path: Path, allowed: int) -> None:
    host = Host(rtt=0.1, channels=allowed)
    count, _ = shipped(host, [file_of(tmp_path / "a", b"x" * 40 * MIB)])
    assert count == (0 if allowed else 40 * MIB // upload.PART)
    assert len(host.content("a")) == 40 * MIB


def test_a_write_error_on_the_host_is_reported(tmp_path: Path) -> None:
    host = Host(rtt=0.1)
    host.answer = messages.Failure("disk-full", "no room", "receive", hint="make room")
    with pytest.raises(HostError, match="no room") as caught:
        shipped(host, [file_of(tmp_path / "a", b"x" * 40 * MIB)])
    assert caught.value.code == "disk-full"
    assert caught.value.hint == "make room"


def test_the_reason_of_a_host_that_gave_up_is_reported(tmp_path: Path) -> None:
    class Deaf(Wire):
        def send(self, message: object, body: bytes = b"") -> None:
            raise HostError("link-lost", "sending failed", host="web1")

    class FullHost(Host):
        def open(self, role: str = "serve") -> Wire:
            return Deaf(self, role)

    host = FullHost(rtt=0.1)
    host.answer = messages.Failure("disk-full", "no room", "receive")
    with pytest.raises(HostError, match="no room"):
        shipped(host, [file_of(tmp_path / "a", b"x" * 40 * MIB)])


def test_a_file_that_became_shorter_is_reported(tmp_path: Path) -> None:
    file = file_of(tmp_path / "a", b"short")
    with pytest.raises(HostError, match="became shorter") as caught:
        shipped(Host(), [File(file.sha256, file.path, 99)])
    assert caught.value.code == "blob-gone"

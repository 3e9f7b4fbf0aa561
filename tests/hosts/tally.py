"""What a controller sends to hosts: every SSH request and every frame, in order.

    with tally() as asked:
        ...                       # ["kexinit", "kex", "service", "login", "channel", "exec", ...]

Each is a round trip at most. When bytes leave and arrive depends on how busy a machine is; what is
asked does not. Left out are signs of life, which a clock asks for, and what needs no answer.

As a program it runs shipit's command line, and leaves what that asked in a file:

    python tally.py FILE deploy playbook.yaml --json
"""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from paramiko import Message, common
from paramiko.packet import Packetizer

from shipit.cli import main as command_line
from shipit.transport.channel import FrameWire

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = {
    common.MSG_KEXINIT: "kexinit",
    common.MSG_SERVICE_REQUEST: "service",
    common.MSG_USERAUTH_REQUEST: "login",
    common.MSG_CHANNEL_OPEN: "channel",
    **dict.fromkeys(range(30, 50), "kex"),  # RFC 4250, 4.1.2: of the key exchange method
}
LOGGED_IN = ["kexinit", "kex", "service", "login"]


@contextmanager
def tally() -> Iterator[list[str]]:
    """Yield a list that grows with the requests of this process."""
    asked: list[str] = []
    send, write = Packetizer.send_message, FrameWire.write

    def sent(self: Packetizer, message: Any) -> None:  # noqa: ANN401 - paramiko's
        asked.extend(request(message.asbytes()))
        send(self, message)

    def written(self: FrameWire, content: bytes) -> None:
        asked.append(frame(content))
        write(self, content)

    with patch.object(Packetizer, "send_message", sent), patch.object(FrameWire, "write", written):
        yield asked


def request(packet: bytes) -> list[str]:
    """Return the name of a packet that needs an answer."""
    number = packet[0]
    if number == common.cMSG_CHANNEL_REQUEST[0]:
        content = Message(packet[1:])
        _, kind, wants_reply = content.get_int(), content.get_text(), content.get_boolean()
        return [kind] if wants_reply else []
    return [NAMES[number]] if number in NAMES else []


def frame(content: bytes) -> str:
    """Return the name of what is written to an agent or its loader."""
    if content.startswith(b"{"):
        return str(json.loads(content.partition(b"\n")[0])["kind"])
    return "boot" if content.startswith(b"shipit-boot ") else "bytes"


def main() -> None:
    file, *words = sys.argv[1:]
    with tally() as asked:
        status = command_line.main(words)
    Path(file).write_text(json.dumps(asked))
    sys.exit(status)


if __name__ == "__main__":
    main()

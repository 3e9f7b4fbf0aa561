"""An agent for tests of the transport: the real protocol, and hardly anything behind it."""

from __future__ import annotations

import hashlib
from importlib import resources

from shipit.transport import agentzip

_MAIN = b'''
import hashlib, os, sys, time
from . import protocol, records

SAID = "python {}.{}, uid {}, role {}"

def main(argv):
    """Answer each Hello with LogLines, AskReleases with what came; take parts; at EOF say End."""
    stdin, stdout, parts, size = sys.stdin.buffer, sys.stdout.buffer, 0, 0
    while True:
        frame = protocol.read(stdin)
        if frame is None:
            break
        message, body = frame
        if isinstance(message, protocol.Part):
            os.makedirs("/tmp/echo", exist_ok=True)
            path = os.path.join("/tmp/echo", message.sha256)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
            os.pwrite(descriptor, body, message.offset)
            os.close(descriptor)
        elif isinstance(message, protocol.Hello):
            said = SAID.format(*sys.version_info[:2], os.geteuid(), argv[0])
            protocol.write(stdout, protocol.LogLines(said + message.app))
        elif isinstance(message, protocol.AskReleases):
            lines = []
            for name in sorted(os.listdir("/tmp/echo")):
                with open("/tmp/echo/" + name, "rb") as stream:
                    digest = hashlib.sha256(stream.read()).hexdigest()
                lines.append(records.ReleaseLine(name, digest, "committed", "", "", True, False))
            protocol.write(stdout, protocol.History(tuple(lines)))
        elif isinstance(message, protocol.AskStatus):
            sys.exit("the agent gave up")
    protocol.write(stdout, protocol.End())
    return 0
'''


WORDS = ("protocol.py", "framing.py", "contents.py", "codec.py", "fields.py", "records.py")


def build(note: str = "") -> agentzip.AgentZip:
    """Pack it; another note gives another digest."""
    own = resources.files("shipit.agent")
    words = {name: own.joinpath(name).read_bytes() for name in WORDS}
    content = agentzip.pack({"__init__.py": note.encode(), "__main__.py": _MAIN, **words})
    real = agentzip.build()
    return agentzip.AgentZip(content, hashlib.sha256(content).hexdigest(), real.boot)

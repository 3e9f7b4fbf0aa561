"""An agent for tests of the transport: the real protocol, and hardly anything behind it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from shipit.agent import protocol
from shipit.transport import agent_zip

_MAIN = b'''
import hashlib, os, sys, time
from .protocol import answers, messages

SAID = "python {}.{}, uid {}, role {}"

def main(argv):
    """Answer each Hello with LogLines, AskReleases with what came; take parts; at EOF say End."""
    stdin, stdout, parts, size = sys.stdin.buffer, sys.stdout.buffer, 0, 0
    while True:
        frame = messages.read(stdin)
        if frame is None:
            break
        message, body = frame
        if isinstance(message, messages.Part):
            os.makedirs("/tmp/echo", exist_ok=True)
            path = os.path.join("/tmp/echo", message.sha256)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
            os.pwrite(descriptor, body, message.offset)
            os.close(descriptor)
        elif isinstance(message, messages.Hello):
            said = SAID.format(*sys.version_info[:2], os.geteuid(), argv[0])
            messages.write(stdout, messages.LogLines(said + message.app))
        elif isinstance(message, messages.AskReleases):
            lines = []
            for name in sorted(os.listdir("/tmp/echo")):
                with open("/tmp/echo/" + name, "rb") as stream:
                    digest = hashlib.sha256(stream.read()).hexdigest()
                lines.append(answers.ReleaseLine(name, digest, "committed", "", "", True, False))
            messages.write(stdout, messages.History(tuple(lines)))
        elif isinstance(message, messages.AskStatus):
            sys.exit("the agent gave up")
    messages.write(stdout, messages.End())
    return 0
'''


def build(note: str = "") -> agent_zip.AgentZip:
    """Pack it; another note gives another digest."""
    own = Path(protocol.__file__).parent
    words = {str(path.relative_to(own.parent)): path.read_bytes() for path in own.rglob("*.py")}
    content = agent_zip.pack({"__init__.py": note.encode(), "__main__.py": _MAIN, **words})
    real = agent_zip.build()
    return agent_zip.AgentZip(content, hashlib.sha256(content).hexdigest(), real.boot)

"""Bring the agent to life on a host: the first of our code that runs there.

This file's source is sent over the channel and executed by the loader of shipit.launch. It reads
one line, {"sha256", "size", "role", "directory"}, and answers with one line each time:

    {"boot": "have"}         the agent is there and proven; it runs now, stdin and stdout are its
    {"boot": "need"}         send it: `size` bytes, zlib-compressed; "have" or "failed" follows
    {"boot": "failed", ...}  with "what" and "errno" (0: none); nothing runs

Needs nothing but the standard library: the agent's other modules are not here yet. It decides
nothing about releases, and never runs bytes whose digest is not the one asked for.
"""

import hashlib
import json
import os
import sys
import zlib
from typing import Any, BinaryIO, Dict, Optional

LINE_LIMIT = 4096  # bytes of the request's line
ROLE = "shipit_boot"  # __name__ when the loader executes this file


class Refused(Exception):
    """The agent cannot be run; the text says why."""


def main(stdin: BinaryIO, stdout: BinaryIO) -> None:
    """Find or receive the agent, answer, and become it."""
    os.umask(0o022)
    os.chdir("/")
    request = json.loads(stdin.readline(LINE_LIMIT).decode())
    path = os.path.join(request["directory"], request["sha256"] + ".pyz")
    if not is_there(path, request["sha256"]):
        answer(stdout, {"boot": "need"})
        try:
            install(path, receive(stdin, request))
        except (OSError, Refused) as error:
            number = getattr(error, "errno", None) or 0
            answer(stdout, {"boot": "failed", "what": str(error), "errno": number})
            sys.exit(1)
    answer(stdout, {"boot": "have"})
    become(path, request["role"])


def answer(stdout: BinaryIO, words: Dict[str, Any]) -> None:
    """Say one line; the newline before it ends whatever a login shell has said."""
    stdout.write(b"\n" + json.dumps(words).encode() + b"\n")
    stdout.flush()


def is_there(path: str, sha256: str) -> bool:
    """Whether the agent lies at `path`, whole. Its time of use is noted: old ones are removed."""
    content = _content(path)
    if content is None or hashlib.sha256(content).hexdigest() != sha256:
        return False
    try:
        os.utime(path)
    except OSError:  # a read-only disk is a finding of the preflight, not a reason to stop here
        return True
    return True


def _content(path: str) -> Optional[bytes]:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return None


def receive(stdin: BinaryIO, request: Dict[str, Any]) -> bytes:
    """Read the agent from the channel.

    Raises:
        Refused: what came is not the agent that was asked for.
    """
    try:
        content = zlib.decompress(stdin.read(request["size"]))
    except zlib.error as error:
        raise Refused("the agent arrived broken: {}".format(error)) from error
    if hashlib.sha256(content).hexdigest() != request["sha256"]:
        raise Refused("the agent arrived with another digest than announced")
    return content


def install(path: str, content: bytes) -> None:
    """Make `path` hold `content`: written beside it, fsynced, renamed."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    beside = "{}.{}.new".format(path, os.getpid())
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


def become(path: str, role: str) -> None:
    """Run the zip in this process, as `python -I -S PATH ROLE` would."""
    import zipimport  # noqa: PLC0415 - only once the agent is known to be there

    sys.argv = [path, role]
    sys.path.insert(0, path)
    code = zipimport.zipimporter(path).get_code("__main__")
    exec(code, {"__name__": "__main__", "__file__": os.path.join(path, "__main__.py")})  # noqa: S102 - its digest is proven


if __name__ == ROLE:
    main(sys.stdin.buffer, sys.stdout.buffer)

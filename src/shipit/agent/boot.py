"""Bring the agent to life on a host: the first of our code that runs there.

This file's source is sent over the channel and executed by the loader of shipit.launch. It reads
one line, {"sha256", "size", "role", "directory"}, and answers with one line each time:

    {"boot": "have"}         the agent is there and proven; it runs now, stdin and stdout are its
    {"boot": "need"}         send it: `size` bytes, zlib-compressed; "have" or "failed" follows
    {"boot": "failed", ...}  with "what" and "errno" (0: none); nothing runs

Needs nothing but the standard library: the agent's other modules are not here yet. It decides
nothing about releases, and never runs bytes whose digest is not the one asked for.
"""

import errno
import hashlib
import json
import os
import stat
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
    try:
        there = is_private(request["directory"]) and is_there(path, request["sha256"])
        if not there:
            answer(stdout, {"boot": "need"})
            content = receive(stdin, request)
            make_private(request["directory"])
            install(path, content)
    except (OSError, Refused) as error:
        number = getattr(error, "errno", None) or 0
        answer(stdout, {"boot": "failed", "what": str(error), "errno": number})
        sys.exit(1)
    answer(stdout, {"boot": "have"})
    become(path, request["role"])


def is_private(directory: str) -> bool:
    """Whether nobody else can write to the directory, and to the one that it lies in."""
    return all(map(is_own, (os.path.dirname(directory), directory)))


def is_own(directory: str) -> bool:
    """Whether it is a directory that nobody else can write to; False where there is none.

    Raises:
        Refused: it is somebody else's.
        OSError: it is a link or a file.
    """
    try:
        status = os.lstat(directory)
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), directory)
    if status.st_uid != os.geteuid():
        what = "{} belongs to user {}, and must belong to the user that runs the agent"
        raise Refused(what.format(directory, status.st_uid))
    return not status.st_mode & 0o022


def make_private(directory: str) -> None:
    """Make the directory, and the one that it lies in; root acts upon what lies there.

    Raises:
        Refused, OSError: one of them is somebody else's, or no directory.
    """
    for each in (os.path.dirname(directory), directory):
        if not is_own(each):
            os.makedirs(each, mode=0o700, exist_ok=True)
            os.chmod(each, 0o700)


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
    beside = "{}.{}.new".format(path, os.getpid())
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(beside, flags, 0o600)
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

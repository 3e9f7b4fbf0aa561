"""Install and start the agent on a host. This is the first code of shipit that runs there.

The controller sends this file over the channel to the loader of transport.bootstrap. It reads one
line, {"sha256", "size", "role", "directory"}, and answers with one line each time:

    {"boot": "have"}         the agent is installed and verified; it takes over stdin and stdout
    {"boot": "need"}         send it: `size` bytes, zlib-compressed; "have" or "failed" follows
    {"boot": "failed", ...}  with "what" and "errno" (0: none); nothing runs

Uses only the standard library, as the agent's other modules are not installed yet. Never runs bytes
whose digest differs from the requested one.
"""

import errno
import hashlib
import json
import os
import stat
import sys
import zlib
from contextlib import suppress
from typing import Any, BinaryIO, Dict

LINE_LIMIT = 4096  # bytes of the request's line
ROLE = "shipit_boot"  # __name__ when the loader executes this file


class Refused(Exception):
    """The agent cannot be run; the text says why."""


def main(stdin: BinaryIO, stdout: BinaryIO) -> None:
    """Find or receive the agent, answer, and run it in this process."""
    os.umask(0o022)
    os.chdir("/")
    request = json.loads(stdin.readline(LINE_LIMIT).decode())
    path = os.path.join(request["directory"], request["sha256"] + ".pyz")
    try:
        is_installed = is_private(request["directory"]) and is_present(path, request["sha256"])
        if not is_installed:
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
    """Whether no other user can write to the directory or its parent."""
    return all(map(is_own, (os.path.dirname(directory), directory)))


def is_own(directory: str) -> bool:
    """Whether it is a directory that no other user can write to; False if it does not exist.

    Raises:
        Refused: it belongs to another user.
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
    """Make the directory and its parent, both writable for this user alone.

    Raises:
        Refused, OSError: one of them belongs to another user, or is no directory.
    """
    for each in (os.path.dirname(directory), directory):
        if not is_own(each):
            os.makedirs(each, mode=0o700, exist_ok=True)
            os.chmod(each, 0o700)


def answer(stdout: BinaryIO, message: Dict[str, Any]) -> None:
    """Write one line. The newline before it ends what a login shell may have printed."""
    stdout.write(b"\n" + json.dumps(message).encode() + b"\n")
    stdout.flush()


def is_present(path: str, sha256: str) -> bool:
    """Whether `path` is the whole agent. Updates its mtime, as old agents are pruned by it."""
    try:
        with open(path, "rb") as stream:
            content = stream.read()
    except OSError:
        return False
    if hashlib.sha256(content).hexdigest() != sha256:
        return False
    with suppress(OSError):  # the preflight reports a read-only disk
        os.utime(path)
    return True


def receive(stdin: BinaryIO, request: Dict[str, Any]) -> bytes:
    """Read the agent from the channel.

    Raises:
        Refused: the received bytes are not the requested agent.
    """
    try:
        content = zlib.decompress(stdin.read(request["size"]))
    except zlib.error as error:
        raise Refused("the agent arrived broken: {}".format(error)) from error
    if hashlib.sha256(content).hexdigest() != request["sha256"]:
        raise Refused("the agent arrived with another digest than announced")
    return content


def install(path: str, content: bytes) -> None:
    """Write `content` to `path` atomically: write beside it, fsync, rename."""
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
    import zipimport  # noqa: PLC0415 - only once the agent is installed

    sys.argv = [path, role]
    sys.path.insert(0, path)
    code = zipimport.zipimporter(path).get_code("__main__")
    exec(code, {"__name__": "__main__", "__file__": os.path.join(path, "__main__.py")})  # noqa: S102 - its digest is verified


if __name__ == ROLE:
    main(sys.stdin.buffer, sys.stdout.buffer)

"""Install and start the agent on a host. This is the first code of shipit that runs there.

The controller sends this file over the channel to the loader of transport.bootstrap. It reads one
line, {"sha256", "role", "directory"}, and answers with one line each time:

    {"boot": "have"}         the agent is installed and verified; it takes over stdin and stdout
    {"boot": "need"}         send it: a line with its size, then as many bytes, zlib-compressed;
                             "have" or "failed" follows
    {"boot": "failed", ...}  with "what" and "errno" (0: none); nothing runs

Uses only the standard library, as the agent's other modules are not installed yet. Never runs bytes
whose digest differs from the requested one, or from that of what this user has compiled from them.
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
PYTHON = "{}-{:x}".format(sys.implementation.cache_tag, sys.hexversion)
# What follows the magic number of bytecode that is not compared with its source (PEP 552).
UNCHECKED = b"\1\0\0\0" + bytes(8)


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
            content = receive(stdin, request["sha256"])
            make_private(request["directory"])
            install(path, content)
    except (OSError, Refused) as error:
        number = getattr(error, "errno", None) or 0
        answer(stdout, {"boot": "failed", "what": str(error), "errno": number})
        sys.exit(1)
    answer(stdout, {"boot": "have"})
    become(with_bytecode(path), request["role"])


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

    Removes bytecode from where others could write: nothing but its name would vouch for it.

    Raises:
        Refused, OSError: one of them belongs to another user, or is no directory.
    """
    for each in (os.path.dirname(directory), directory):
        if not is_own(each):
            os.makedirs(each, mode=0o700, exist_ok=True)
            os.chmod(each, 0o700)
            for found in os.listdir(each):
                if found.endswith(".pyz") and found.count(".") > 1:
                    os.unlink(os.path.join(each, found))


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


def receive(stdin: BinaryIO, sha256: str) -> bytes:
    """Read the agent from the channel.

    Raises:
        Refused: the received bytes are not the requested agent.
    """
    try:
        content = zlib.decompress(stdin.read(int(stdin.readline(LINE_LIMIT))))
    except (ValueError, zlib.error) as error:
        raise Refused("the agent arrived broken: {}".format(error)) from error
    if hashlib.sha256(content).hexdigest() != sha256:
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


def with_bytecode(path: str) -> str:
    """Return the agent with the bytecode of this Python, made beside `path` by its first start.

    Without it, Python compiles every module of a zip at every start, and twice. Its name has the
    digest of `path`, the Python and its own digest. Return `path` if it can't be written.
    """
    directory, name = os.path.split(path)
    start = "{}.{}.".format(name[: -len(".pyz")], PYTHON)
    try:
        for found in os.listdir(directory):
            if found.startswith(start) and found.endswith(".pyz"):
                there = os.path.join(directory, found)
                if is_present(there, found[len(start) : -len(".pyz")]):
                    return there
                os.unlink(there)
        content = compiled(path)
        made = os.path.join(directory, start + hashlib.sha256(content).hexdigest() + ".pyz")
        install(made, content)
    except OSError:
        return path
    return made


def compiled(path: str) -> bytes:
    """Return a zip of the modules in `path`, each with bytecode, which another Python ignores."""
    import io  # noqa: PLC0415 - only once for each Python
    import marshal  # noqa: PLC0415
    import zipfile  # noqa: PLC0415
    from importlib.util import MAGIC_NUMBER  # noqa: PLC0415

    packed = io.BytesIO()
    with zipfile.ZipFile(path) as sources, zipfile.ZipFile(packed, "w") as archive:
        for entry in sources.infolist():
            source = sources.read(entry)
            code = compile(source, os.path.join(path, entry.filename), "exec", dont_inherit=True)
            archive.writestr(entry, source)
            bytecode = zipfile.ZipInfo(entry.filename + "c", entry.date_time)
            archive.writestr(bytecode, MAGIC_NUMBER + UNCHECKED + marshal.dumps(code))
    return packed.getvalue()


def become(path: str, role: str) -> None:
    """Run the zip in this process, as `python -I -S PATH ROLE` would."""
    import zipimport  # noqa: PLC0415 - only once the agent is installed

    sys.argv = [path, role]
    sys.path.insert(0, path)
    code = zipimport.zipimporter(path).get_code("__main__")
    exec(code, {"__name__": "__main__", "__file__": os.path.join(path, "__main__.py")})  # noqa: S102 - its digest is verified


if __name__ == ROLE:
    main(sys.stdin.buffer, sys.stdout.buffer)

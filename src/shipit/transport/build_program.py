"""Build one wheel on a host, as its login user, in a folder that is gone afterwards.

This text is sent to the host and runs there, on the host's own Python. It reads a line of JSON:
the names and sizes of files, which follow it, the arguments for Python, variables, and how long it
may take. It answers with a line `shipit-build {...}`, then the bytes of the wheel.

The folder is the user's own (0700). It is removed, and what runs in the process group of the build
is killed, after every end: also after an error, a signal, or the end of the connection. What a
build system has put into a group of its own goes on.
"""

from __future__ import annotations

import json
import os
import platform
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MARK = b"shipit-build "
LINE = 1024 * 1024  # bytes of a request
CHUNK = 256 * 1024  # bytes
KEPT = 16 * 1024  # bytes of the end of the output
PAUSE = 0.2  # seconds between looks
ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


def main() -> None:
    """Answer one request on stdin and stdout."""
    os.umask(0o077)
    for number in ENDING:
        signal.signal(number, _stop)
    request = json.loads(sys.stdin.buffer.readline(LINE))
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)  # until it would remove the folder
    folder = Path(tempfile.mkdtemp(prefix="shipit-build-"))
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        for name, size in request["files"]:
            _receive(folder / Path(name).name, size)
        _answer(*_built(folder, request))
    finally:
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)
        shutil.rmtree(str(folder), ignore_errors=True)


def _stop(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def _receive(path: Path, size: int) -> None:
    with path.open("wb") as out:
        while size:
            piece = sys.stdin.buffer.read(min(size, CHUNK))
            if not piece:
                raise SystemExit("the source did not arrive")
            out.write(piece)
            size -= len(piece)


def _built(folder: Path, request: Mapping[str, Any]) -> tuple[Mapping[str, Any], Path | None]:
    """Return the answer, and the wheel."""
    out, log, temporary = folder / "out", folder / "log", folder / "tmp"
    out.mkdir()
    temporary.mkdir()
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment = {**kept, "TMPDIR": str(temporary), **request["environment"]}
    argv = [sys.executable, *request["argv"]]
    status = _run(argv, log, environment, time.monotonic() + request["seconds"])
    wheels = sorted(out.glob("*.whl"))
    wheel = wheels[0] if status == 0 and len(wheels) == 1 else None
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - KEPT))
        output = stream.read().decode("utf-8", "replace")
    answer = {
        "status": status,
        "wheels": [each.name for each in wheels],
        "size": wheel.stat().st_size if wheel else 0,
        "libc": platform.libc_ver(),
        "output": output,
    }
    return answer, wheel


def _run(
    argv: Sequence[str], log: Path, environment: Mapping[str, str], deadline: float
) -> int | None:
    """Run a program until it ends; return its exit status, None if it took too long."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv,
            cwd=str(log.parent),
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        while process.poll() is None and time.monotonic() < deadline:
            if select.select([sys.stdin.buffer], [], [], PAUSE)[0]:
                raise SystemExit("the connection has ended")
        return process.poll()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answer(answer: Mapping[str, Any], wheel: Path | None) -> None:
    out = sys.stdout.buffer
    out.write(MARK + json.dumps(answer).encode() + b"\n")
    if wheel:
        with wheel.open("rb") as stream:
            shutil.copyfileobj(stream, out, CHUNK)
    out.flush()


if __name__ == "shipit_build":
    main()

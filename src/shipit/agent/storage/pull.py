"""Take blobs from a process that fetches them from a URL, and that root does not trust.

Of that process (`host.download`) only bytes are taken, at most as many as a blob has, and a blob is
one by its digest alone. The URL reaches it by its stdin. Every wait has an end, at which it is
killed.
"""

import hashlib
import json
import os
import select
import signal
import subprocess
import time
from contextlib import closing, suppress
from typing import Any, Callable, Dict, Iterator, Sequence, Tuple

from ..protocol.messages import Failure, ProtocolError
from ..protocol.pulls import Piece, Pull, Pulled
from ..protocol.rules.redaction import Mask
from ..system import files, process, trust
from ..system.failures import Refused
from ..system.paths import Paths
from . import blobs

STEP = "pull"
PATIENCE = 120.0  # seconds for the next byte: it looks up a name, connects, and tries again
LONGEST = 3000.0  # seconds of all
WATCH_PAUSE = 0.25  # seconds
CHUNK = 64 * 1024  # bytes; what a pipe holds
SAID = 8192  # bytes of stderr
SENTENCE = 300  # characters
ENVIRONMENT = "/etc/environment"
PROXIES = ("http_proxy", "https_proxy", "no_proxy")
SAYS = {"pull-refused": "pull-refused", "pull-failed": "pull-failed"}  # what that process may say
HINTS = {
    "pull-refused": "a signed URL may have expired: run the command again; or see that the URL is"
    " right, and that this host may read it",
    "pull-failed": "see that this host reaches the server (name, firewall, proxy, clock), then run"
    " the command again; `transfer: push` sends the wheels over SSH",
    "pull-corrupt": "the file at the URL is another one than the controller has read: put the right"
    " one there, and pin it with #sha256=",
}

Report = Callable[[Pulled], None]
Watch = Callable[[], None]


def pull(paths: Paths, ask: Pull, argv: Sequence[str], report: Report, watch: Watch) -> None:
    """Fetch blobs, each of which is there once its digest is verified.

    `argv` runs `host.download`. `report` gets the progress; `watch` is called a few times a second,
    and ends all by raising.

    Raises:
        Refused: pull-refused, pull-failed, pull-corrupt.
    """
    pieces = sorted(ask.pieces, key=lambda piece: piece.offset)
    for piece in pieces:
        if not blobs.DIGEST.fullmatch(piece.sha256) or piece.size > blobs.BLOB_LIMIT:
            raise ProtocolError("a piece of a file that cannot be")
    blobs.prepare(paths)
    progress = _Progress(sum(piece.size for piece in pieces), report, watch)
    with closing(_Source(ask.url, pieces, argv, progress)) as source:
        for piece in pieces:
            _store(paths, piece, source.read(piece.size))
    progress.end()


def _store(paths: Paths, piece: Piece, chunks: Iterator[bytes]) -> None:
    """Write a file of this process's own, as its bytes are not verified yet."""
    incoming, digest = paths.incoming(f"{piece.sha256}.{os.getpid()}"), hashlib.sha256()
    files.unlink(incoming)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with files.opened(incoming, flags) as descriptor:
            for chunk in chunks:
                digest.update(chunk)
                files.write_all(descriptor, chunk)
        if digest.hexdigest() == piece.sha256:
            blobs.keep(paths, incoming, piece.sha256)
            return
    finally:
        files.unlink(incoming)
    what = f"{piece.filename} has other bytes at the URL than in the bundle"
    raise Refused(_failure("pull-corrupt", what))


class _Progress:
    """Reports the bytes so far, a few times a second."""

    def __init__(self, total: int, report: Report, watch: Watch) -> None:
        self._total, self._report, self._watch = total, report, watch
        self._done, self._reported = 0, 0.0

    def add(self, size: int) -> None:
        self._done += size
        now = time.monotonic()
        if now - self._reported >= WATCH_PAUSE:
            self._reported = now
            self._report(Pulled(self._done, self._total))
            self._watch()

    def end(self) -> None:
        self._report(Pulled(self._total, self._total))


class _Source:
    """The process, as a stream of bytes. `close` kills it."""

    def __init__(
        self, url: str, pieces: Sequence[Piece], argv: Sequence[str], progress: _Progress
    ) -> None:
        self._hide = Mask([url, url.partition("?")[2]])
        self._progress, self._end = progress, time.monotonic() + LONGEST
        self._child = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env=_environment(),
            start_new_session=True,
        )
        assert self._child.stdin and self._child.stdout and self._child.stderr  # noqa: PT018, S101 - asked for above
        self._stdout, self._stderr = (
            each.fileno() for each in (self._child.stdout, self._child.stderr)
        )
        self._said, self._poll = b"", select.poll()
        for descriptor in (self._stdout, self._stderr):
            self._poll.register(descriptor, select.POLLIN)
        request = {"url": url, "pieces": [(piece.offset, piece.size) for piece in pieces]}
        # It may have ended already: its stderr says why.
        with suppress(BrokenPipeError), self._child.stdin as stdin:
            stdin.write(json.dumps(request).encode() + b"\n")

    def read(self, size: int) -> Iterator[bytes]:
        """Yield the next bytes.

        Raises:
            Refused: there are not so many.
        """
        while size:
            self._wait()
            chunk = os.read(self._stdout, min(size, CHUNK))
            if not chunk:
                raise Refused(self._why())
            size -= len(chunk)
            self._progress.add(len(chunk))
            yield chunk

    def _wait(self) -> None:
        """Wait for the next bytes; take what comes by stderr meanwhile."""
        if time.monotonic() >= self._end:
            raise Refused(_failure("pull-failed", f"it took more than {LONGEST:.0f} s"))
        end = min(self._end, time.monotonic() + PATIENCE)
        while True:
            ready = [descriptor for descriptor, _ in self._poll.poll(WATCH_PAUSE * 1000)]
            if self._stderr in ready:
                self._listen()
            if self._stdout in ready:
                return
            self._progress.add(0)
            if time.monotonic() >= end:
                raise Refused(_failure("pull-failed", "nothing more came from the URL"))

    def _listen(self) -> None:
        chunk = os.read(self._stderr, SAID)
        self._said = (self._said + chunk)[-SAID:]
        if not chunk:
            self._poll.unregister(self._stderr)
            self._stderr = -1

    def _why(self) -> Failure:
        """Return what it says about its failure, as far as that is one of ours."""
        self._poll.unregister(self._stdout)
        end = time.monotonic() + process.KILL_WAIT
        while self._stderr >= 0 and time.monotonic() < end:
            if self._poll.poll(WATCH_PAUSE * 1000):
                self._listen()
        said: Dict[str, Any] = {}
        with suppress(ValueError, TypeError):
            said = dict(json.loads(self._said.strip().rpartition(b"\n")[2]))
        code, what = SAYS.get(str(said.get("code"))), said.get("what")
        if code is None or not isinstance(what, str):
            return _failure("pull-failed", "the process that fetches has ended without a reason")
        return _failure(code, self._hide(what)[:SENTENCE])

    def close(self) -> None:
        """Kill its process group, unless it has ended."""
        if self._child.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(process.KILL_WAIT)
        for stream in (self._child.stdout, self._child.stderr):
            if stream:
                stream.close()


def _environment() -> Dict[str, str]:
    """Return a clean environment with the host's proxies.

    They are those of this session, or else of /etc/environment: sudo may have left them out.
    """
    of_host = dict(_lines(ENVIRONMENT))
    names = (*PROXIES, *(name.upper() for name in PROXIES))
    found = {name: os.environ.get(name) or of_host.get(name, "") for name in names}
    return process.clean_environment({name: value for name, value in found.items() if value})


def _lines(path: str) -> Iterator[Tuple[str, str]]:
    """Yield the variables of a file that root alone can change."""
    with suppress(OSError):
        if trust.weakness(path) is None:
            with open(path, encoding="utf-8", errors="replace") as stream:
                for line in stream.read(files.NOTE_LIMIT).splitlines():
                    name, _, value = line.partition("=")
                    yield name.replace("export ", "").strip(), value.strip().strip("\"'")


def _failure(code: str, what: str) -> Failure:
    return Failure(code, f"what the release needs cannot be fetched: {what}", STEP, HINTS[code])

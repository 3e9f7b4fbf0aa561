"""Store blobs by the digest of their content.

Promises: the digest of a file in blobs/ was verified on arrival; a file in incoming/ is incomplete
and never counts as a blob. Several sessions may send the same blob at once. `prune` decides what
is removed.
"""

import hashlib
import os
import re
from contextlib import ExitStack, contextmanager
from typing import IO, Iterable, Iterator, List, Set, Tuple

from ..protocol.manifest import Artifact
from ..protocol.messages import Failure, Part, ProtocolError
from ..system import files, folders
from ..system.failures import Refused
from ..system.paths import Paths

STEP = "receive"
CHUNK = 1024 * 1024  # bytes
BLOB_LIMIT = 8 * 1024**3  # bytes; no wheel is larger
STORE_WAIT = 60.0  # seconds to wait for the removal of unused blobs
ABANDONED = 24 * 3600.0  # seconds after which an incomplete blob counts as abandoned
DIGEST = re.compile(r"[0-9a-f]{64}")
WHEEL_NAME = re.compile(r"[A-Za-z0-9_.!+-]+\.whl")


@contextmanager
def in_use(paths: Paths) -> Iterator[None]:
    """Keep all blobs from being removed; any number of sessions may do so at once.

    Raises:
        Refused: store-locked: another deploy has been removing blobs for too long.
    """
    with ExitStack() as held:
        try:
            held.enter_context(files.lock(paths.store_lock, wait=STORE_WAIT, shared=True))
        except files.Locked:
            what = f"another deploy has been removing blobs here for {STORE_WAIT:.0f} s"
            raise Refused(Failure("store-locked", what, STEP, "run the command again")) from None
        except OSError:
            pass  # no file can be written: blobs stay, and nothing can be staged
        yield


def prepare(paths: Paths) -> None:
    """Create the store's directories, readable by root alone."""
    incoming = os.path.dirname(paths.incoming(""))
    folders.make(paths, paths.blobs, incoming, paths.tools, paths.wheels)


def receive(paths: Paths, part: Part, body: bytes) -> None:
    """Write a part of a blob to incoming/.

    Raises:
        ProtocolError: the part does not fit its blob.
    """
    end = part.offset + len(body)
    if not DIGEST.fullmatch(part.sha256) or not 0 <= part.offset <= end <= part.total <= BLOB_LIMIT:
        raise ProtocolError(f"a part of {part.sha256!r} at {part.offset} that cannot be")
    incoming = paths.incoming(part.sha256)
    with files.opened(incoming, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW) as descriptor:
        os.lseek(descriptor, part.offset, os.SEEK_SET)
        files.write_all(descriptor, body)


def present(paths: Paths, wanted: Iterable[str]) -> Tuple[str, ...]:
    """Return the digests whose blobs are on this host."""
    return tuple(
        digest
        for digest in wanted
        if DIGEST.fullmatch(digest) and os.path.exists(paths.blob(digest))
    )


def missing(paths: Paths, artifacts: Iterable[Artifact]) -> Tuple[Artifact, ...]:
    """Return the artifacts that are missing or incomplete on this host."""
    return tuple(item for item in artifacts if _size(paths.blob(item.sha256)) != item.size)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return -1


def verify(paths: Paths, artifacts: Iterable[Artifact]) -> None:
    """Turn received files into blobs, and check that every artifact is present.

    Raises:
        Refused: blob-corrupt (wrong digest) or blob-missing; sending it again fixes both.
    """
    kept: Set[str] = set()
    for item in artifacts:
        incoming, blob = paths.incoming(item.sha256), paths.blob(item.sha256)
        if _size(blob) == item.size:
            files.unlink(incoming)
            continue
        if _size(incoming) < 0:
            raise Refused(_again("blob-missing", f"{item.filename} did not arrive"))
        if _size(incoming) != item.size or digest_of(incoming) != item.sha256:
            files.unlink(incoming)
            raise Refused(_again("blob-corrupt", f"{item.filename} arrived with other bytes"))
        kept.add(_renamed(paths, incoming, item.sha256))
    for folder in kept:  # once for all: a blob that a power cut takes before is sent again
        files.sync_directory(folder)


def keep(paths: Paths, incoming: str, digest: str) -> None:
    """Turn a received file whose digest was verified into a blob, on the disk."""
    files.sync_directory(_renamed(paths, incoming, digest))


def _renamed(paths: Paths, incoming: str, digest: str) -> str:
    """Put a received file on the disk, then rename it to a blob; return the blob's directory."""
    blob = paths.blob(digest)
    with files.opened(incoming, os.O_RDONLY) as descriptor:
        os.fsync(descriptor)
    os.rename(incoming, blob)
    return os.path.dirname(blob)


def _again(code: str, what: str) -> Failure:
    return Failure(code, what, STEP, "run the command again to send it again")


def digest_of(path: str) -> str:
    """Return the sha256 of a file, read as a stream."""
    with open(path, "rb", buffering=0) as stream:
        return hashed(stream, "sha256").hexdigest()


def hashed(stream: IO[bytes], algorithm: str) -> "hashlib._Hash":
    """Read a stream to its end; return the digest of what came."""
    digest = hashlib.new(algorithm)
    for chunk in iter(lambda: stream.read(CHUNK), b""):
        digest.update(chunk)
    return digest


def evict_corrupt(paths: Paths, artifacts: Iterable[Artifact]) -> List[Artifact]:
    """Remove the blobs whose digest no longer matches, and return them."""
    corrupt = []
    for item in artifacts:
        blob = paths.blob(item.sha256)
        if os.path.exists(blob) and digest_of(blob) != item.sha256:
            files.unlink(blob)
            corrupt.append(item)
    return corrupt


def refuse_corrupt(paths: Paths, artifacts: Iterable[Artifact], step: str) -> None:
    """Remove the blobs whose digest no longer matches.

    Raises:
        Refused: blob-corrupt: there were some.
    """
    names = ", ".join(item.filename for item in evict_corrupt(paths, artifacts))
    if names:
        what = f"the disk no longer has the right bytes of {names}"
        hint = "they were removed; run the command again to send them again"
        raise Refused(Failure("blob-corrupt", what, step, hint))


def wheel_path(paths: Paths, item: Artifact) -> str:
    """Return a path to a blob with its wheel's file name, as installers require.

    The path depends on the content alone: uv uses it as the cache key.

    Raises:
        ProtocolError: the file name is not that of a wheel.
    """
    if not WHEEL_NAME.fullmatch(item.filename) or not DIGEST.fullmatch(item.sha256):
        raise ProtocolError(f"{item.filename!r} is not the name of a wheel")
    directory = os.path.join(paths.wheels, item.sha256)
    link = os.path.join(directory, item.filename)
    if not os.path.islink(link):
        files.make_directory(directory)
        files.point(link, paths.blob(item.sha256), sync=False)
    return link


def delete_abandoned(paths: Paths, now: float) -> None:
    """Remove abandoned uploads, and links to removed blobs.

    `now` is in seconds since the epoch. The caller holds paths.store_lock exclusively.
    """
    incoming = os.path.dirname(paths.incoming(""))
    for entry in files.entries(incoming):
        if now - entry.stat(follow_symlinks=False).st_mtime > ABANDONED:
            files.unlink(entry.path)
    for entry in files.entries(paths.wheels):
        if not os.path.exists(paths.blob(entry.name)):
            files.remove_tree(entry.path)
    for entry in files.entries(paths.tools):
        if not os.path.exists(paths.blob(entry.name.partition("-")[2])):
            files.remove_tree(entry.path)

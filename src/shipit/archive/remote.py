"""Read a bundle wherever it is: one at a URL is fetched into the cache, then read like any other.

A bundle whose digest is known is fetched once. The URL may be a credential: neither it nor what a
library says about it is shown without a mask.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.error import HTTPError

from shipit.archive import file, signature
from shipit.errors import InputError, Mistake, Place
from shipit.events import Fetching, Noted, SecretsKnown
from shipit.project.cache import FULL
from shipit.secrets import Mask

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from shipit.archive.file import Bundle
    from shipit.events import Emit
    from shipit.playbook.project import PinnedFile
    from shipit.project.cache import Cache
    from shipit.secrets import SecretUrl

STALLED, SIGNATURE_WAIT = 120.0, 15.0  # seconds without a byte
LONGEST = 3600.0  # seconds of a whole download
PAUSES = (1.0, 4.0)  # seconds before a download over http is tried again
LARGEST, LARGEST_SIGNATURE = 16 << 30, signature.LONGEST  # bytes
_POLL = 0.25  # seconds
# What comes over these could come from anybody: fsspec accepts any host key.
_UNPROTECTED = ("http", "ftp", "sftp", "ssh", "smb")
_GONE, _REFUSED = (404, 410), (401, 403)
_NETWORK = "check the network and the URL, and try again"
_LOGIN = (
    "a signed URL may have expired; other credentials are taken from netrc, or as the store's own"
    " tools take them: environment, profile, role"
)


def read(pinned: PinnedFile, store: Cache, emit: Emit) -> Bundle:
    """Read and verify a bundle.

    Args:
        pinned: where it is, and its digest if that is known.
        store: the cache.
        emit: receives how far a download is.

    Raises:
        InputError: as of `file.read`; it cannot be fetched (fetch-failed, store-package-missing),
            or could come from anybody (bundle-unpinned).
    """
    if pinned.url is None:
        assert pinned.path is not None  # noqa: S101 - one of the two is there
        found = file.read(pinned.path, store, pinned.sha256)
    else:
        found = _at_url(pinned, pinned.url, store, emit)
    if why := found.damaged.what if found.damaged else found.unfetched:
        emit(Noted(f"{found.name} counts as unsigned: {why}"))
    return found


def _at_url(pinned: PinnedFile, url: SecretUrl, store: Cache, emit: Emit) -> Bundle:
    emit(SecretsKnown(Mask(url.hidden())))
    path = store.bundle(pinned.sha256) if pinned.sha256 else None
    if path is None:
        _refuse_unpinned(url, pinned.sha256)
        path = _fetched(url, store, emit)
    unfetched = _fetch_signature(url, path, store)
    found = file.read(path, store, pinned.sha256, str(url))
    return replace(found, url=url, unfetched="" if found.signed else unfetched)


def _refuse_unpinned(url: SecretUrl, sha256: str) -> None:
    scheme = url.reveal().partition("://")[0]
    if scheme in _UNPROTECTED and not sha256:
        what = f"a bundle over {scheme}:// can be replaced on the way: it needs a digest"
        hint = "append #sha256=DIGEST, which `shipit verify` shows; or use https://"
        raise InputError(Mistake("bundle-unpinned", what, Place(str(url)), hint))


def _fetched(url: SecretUrl, store: Cache, emit: Emit) -> Path:
    store.prune()
    with store.workspace() as work:
        path = work / "fetched.shipit"
        what = f"fetching {url}"
        try:
            _Download("the bundle", url, path, LARGEST, PAUSES, STALLED).run(
                lambda done, total: emit(Fetching(what, done, total))
            )
        finally:
            emit(Fetching(what, is_over=True))
        size = path.stat().st_size
        emit(Noted(f"fetched {url} ({size / 1e6:.1f} MB)"))
        return store.keep_bundle(path)


def _fetch_signature(url: SecretUrl, bundle: Path, store: Cache) -> str:
    """Put the signature beside a bundle; return why it cannot be fetched.

    Without an answer, the one that was there before stays. Whether there has to be one is decided
    later: a signed URL, for instance, is for one file.
    """
    kept = signature.path_of(bundle)
    with store.workspace() as work:
        path = work / "signature"
        try:
            limits = (LARGEST_SIGNATURE, (), SIGNATURE_WAIT)
            what = "its signature"
            _Download(what, url.beside(".sig"), path, *limits).run(lambda *_: None)
        except InputError as error:
            if error.mistakes[0].code != "missing-bundle":
                return error.mistakes[0].what
            kept.unlink(missing_ok=True)
            return ""
        if not path.read_bytes().startswith(signature.BEGIN):
            return "what is fetched as its signature is none"
        path.replace(kept)
        return ""


class _Download:
    """A download in a thread of its own: no library can make the command wait for ever."""

    def __init__(
        self,
        what: str,
        url: SecretUrl,
        to: Path,
        most: int,
        pauses: Sequence[float],
        patience: float,
    ) -> None:
        self._what = what
        self._url, self._to, self._most, self._pauses = url, to, most, pauses
        self._patience = patience
        self._now = (0, 0)  # bytes so far, and of the whole
        self._is_over = threading.Event()
        self._error: Exception | None = None

    def run(self, report: Callable[[int, int], None]) -> None:
        """Wait for its end.

        Raises:
            InputError: it failed, no byte came for a while, or it takes too long.
            OSError: the disk is full.
        """
        threading.Thread(target=self._run, name="download", daemon=True).start()
        began = moved = time.monotonic()
        before = self._now
        while not self._is_over.wait(_POLL):
            now = time.monotonic()
            before, moved = (self._now, now) if self._now != before else (before, moved)
            if now - moved > self._patience or now - began > LONGEST:
                what = f"the download of {self._what} came to a halt, or takes too long"
                raise InputError(Mistake("fetch-failed", what, Place(str(self._url)), _NETWORK))
            report(*self._now)
        error = self._error
        if isinstance(error, InputError) or (isinstance(error, OSError) and error.errno in FULL):
            raise error
        if error:
            mistake = _mistake(error, self._what, self._url)
            raise InputError(mistake) from None  # the error may show the URL

    def _run(self) -> None:
        from shipit.archive import object_store, web  # noqa: PLC0415 - a file needs neither

        try:
            if self._url.reveal().partition("://")[0] in web.SCHEMES:
                web.download(self._url.reveal(), self._to, self._note, self._pauses)
            else:
                object_store.download(self._url, self._to, self._note)
        except Exception as error:  # noqa: BLE001 - the edge of a thread
            self._error = error
        self._is_over.set()

    def _note(self, done: int, total: int) -> None:
        self._now = (done, total)
        if max(done, total) > self._most:
            what = f"{self._what} has more than {self._most} bytes"
            hint = "correct the URL: this may be another file"
            raise InputError(Mistake("fetch-failed", what, Place(str(self._url)), hint))


def _mistake(error: Exception, what: str, url: SecretUrl) -> Mistake:
    """Return what a failed download means for the user."""
    place, status = Place(str(url)), error.code if isinstance(error, HTTPError) else 0
    if isinstance(error, FileNotFoundError) or status in _GONE:
        hint = "correct the URL; or make the bundle: shipit build PLAYBOOK"
        return Mistake("missing-bundle", "there is no such bundle", place, hint)
    cause = error if status else getattr(error, "reason", error)  # of a URLError
    name, said = type(cause).__name__, Mask(url.hidden())(str(cause))
    said = said.replace(url.reveal(), str(url))
    text = said if said and isinstance(cause, OSError) else f"{name} {said}".rstrip()
    return Mistake("fetch-failed", f"{what} cannot be fetched: {text}", place, _hint(cause))


def _hint(cause: object) -> str:
    import ssl  # noqa: PLC0415 - loaded by then

    if isinstance(cause, ssl.SSLError):
        return "for a private certificate authority, set SSL_CERT_FILE to its certificates"
    is_refused = isinstance(cause, HTTPError) and cause.code in _REFUSED
    if is_refused or isinstance(cause, PermissionError) or "Credential" in type(cause).__name__:
        return _LOGIN
    return _NETWORK

"""Keep the wheels and bundles that were built or fetched, by their contents.

    wheels/<sha256>/<file name>    a wheel
    bundles/<sha256>.shipit        a bundle that was fetched
    made/<key>.json                which wheels a question had as its answer

A key is a digest of all that the answer depends on. Entries are written, then renamed; several runs
may share the cache. What has not been used for `UNUSED` is removed. A folder that another user can
write to is refused: what lies there goes to the hosts.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shipit.bundle.wheel import open_wheel
from shipit.errors import InputError, Mistake, Place
from shipit.project.files import OWN_TAG

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from shipit.bundle.wheel import Wheel

UNUSED = 60 * 86400.0  # seconds
# What only the disk of this machine says, never a network.
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
_OF_THE_DISK = {*FULL, errno.EACCES, errno.EPERM, errno.ENOTDIR}
_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n"  # https://bford.info/cachedir/
_HINT = "free some space, or set SHIPIT_CACHE_DIR to a folder that you can write to"


def default_folder(environment: Mapping[str, str]) -> Path:
    """Return where the cache lies: $SHIPIT_CACHE_DIR, or shipit/ in the user's cache folder.

    Raises:
        InputError: the user has no home folder (cache-unusable).
    """
    if own := environment.get("SHIPIT_CACHE_DIR"):
        return Path(own)
    if above := environment.get("XDG_CACHE_HOME"):
        return Path(above) / "shipit"
    if home := environment.get("HOME"):
        return Path(home) / ".cache" / "shipit"
    what = "there is no folder for the cache: HOME is not set"
    raise InputError(Mistake("cache-unusable", what, None, _HINT))


def key_of(*parts: object) -> str:
    """Return a digest of JSON values: equal parts have equal keys on any machine."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def open_kept(wheel: Path) -> Wheel:
    """Read a wheel that was kept or remembered in this run: its digest has been verified.

    Raises:
        InputError: it is not a wheel, or unsafe to unpack.
    """
    return open_wheel(wheel, wheel.parent.name)


def sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass(frozen=True)
class Cache:
    """A folder that its user alone can read and write; made when it is needed."""

    folder: Path

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """Give an empty folder on the cache's file system, and remove it afterwards.

        Raises:
            InputError: another user can write to the cache, or its disk refuses (cache-unusable).
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._refuse_of_others()
            self._say_what_it_is()
            # A download that was left may still write there: what stays is pruned.
            with tempfile.TemporaryDirectory(
                dir=self.folder, prefix="work-", ignore_cleanup_errors=True
            ) as name:
                yield Path(name)
        except OSError as error:
            if error.errno not in _OF_THE_DISK:
                raise
            what = f"the cache cannot be used: {error}"
            mistake = Mistake("cache-unusable", what, Place(str(self.folder)), _HINT)
            raise InputError(mistake) from error

    def _refuse_of_others(self) -> None:
        found = self.folder.stat()
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            what = "another user can write to the cache, and what lies there goes to the hosts"
            hint = f"chmod 700 {self.folder}; or set SHIPIT_CACHE_DIR to a folder of your own"
            raise InputError(Mistake("cache-unusable", what, Place(str(self.folder)), hint))

    def _say_what_it_is(self) -> None:
        """Let backups leave it out, and builds of a project that it happens to lie in."""
        for name, text in (("CACHEDIR.TAG", _TAG), (OWN_TAG, "")):
            with suppress(FileExistsError), (self.folder / name).open("x") as tag:
                tag.write(text)

    def keep(self, wheel: Path) -> Path:
        """Move a wheel from a workspace into the cache; return where it is now."""
        kept = self.folder / "wheels" / sha256_of(wheel) / wheel.name
        kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        wheel.chmod(0o600)
        wheel.replace(kept)
        return kept

    def keep_bundle(self, bundle: Path) -> Path:
        """Move a bundle from a workspace into the cache; return where it is now."""
        kept = self._bundle(sha256_of(bundle))
        kept.parent.mkdir(mode=0o700, exist_ok=True)
        bundle.replace(kept)
        return kept

    def bundle(self, sha256: str) -> Path | None:
        """Return the bundle with this digest; None if it is not there, or no longer whole.

        Raises:
            InputError: another user can write to the cache (cache-unusable).
        """
        kept = self._bundle(sha256)
        try:
            self._refuse_of_others()
            if sha256_of(kept) != sha256:
                return None
            os.utime(kept)
        except OSError:
            return None
        return kept

    def digests(self, names: Collection[str]) -> list[str]:
        """Return the sha256 of the wheels of these packages, sorted; names are normalized."""
        found = self.folder.glob("wheels/*/*.whl")
        return sorted({p.parent.name for p in found if _package(p) in names})

    def answer(self, key: str) -> list[Path] | None:
        """Return the wheels that were remembered under a key; None unless all are still whole.

        Raises:
            InputError: another user can write to the cache (cache-unusable).
        """
        try:
            self._refuse_of_others()
            names = json.loads(self._note(key).read_text())
            wheels = [self.folder / "wheels" / name for name in names]
            if any(sha256_of(wheel) != wheel.parent.name for wheel in wheels):
                return None
            for used in (self._note(key), *(wheel.parent for wheel in wheels)):
                os.utime(used)
        except (OSError, ValueError, TypeError):
            return None
        return wheels

    def remember(self, key: str, wheels: Sequence[Path]) -> None:
        """Note kept wheels as the answer to a key."""
        note = self._note(key)
        with self.workspace() as work:
            note.parent.mkdir(mode=0o700, exist_ok=True)
            made = work / note.name
            made.write_text(json.dumps([f"{wheel.parent.name}/{wheel.name}" for wheel in wheels]))
            made.replace(note)

    def prune(self, now: float | None = None) -> None:
        """Remove what has not been used for a long time, and what a killed run has left."""
        oldest = (time.time() if now is None else now) - UNUSED
        for pattern in ("wheels/*", "bundles/*", "made/*", "work-*"):
            for entry in self.folder.glob(pattern):
                with suppress(OSError):
                    if entry.stat().st_mtime < oldest:
                        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def _bundle(self, sha256: str) -> Path:
        return self.folder / "bundles" / f"{sha256}.shipit"

    def _note(self, key: str) -> Path:
        return self.folder / "made" / f"{key}.json"


def _package(wheel: Path) -> str:
    """Return the normalized name of a wheel's package."""
    return wheel.name.partition("-")[0].replace("_", "-").lower()

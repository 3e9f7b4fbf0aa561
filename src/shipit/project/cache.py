"""Keep the wheels that were built or fetched, by their contents.

    wheels/<sha256>/<file name>    a wheel
    made/<key>.json                which wheels a question had as its answer

A key is a digest of all that the answer depends on. Entries are written, then renamed; several runs
may share the cache. What has not been used for `UNUSED` is removed.
"""

from __future__ import annotations

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

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

UNUSED = 60 * 86400.0  # seconds


def default_folder(environment: Mapping[str, str]) -> Path:
    """Return where the cache lies: $SHIPIT_CACHE_DIR, or shipit/ in the user's cache folder."""
    if own := environment.get("SHIPIT_CACHE_DIR"):
        return Path(own)
    return Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shipit"


def key_of(*parts: object) -> str:
    """Return a digest of JSON values: equal parts have equal keys on any machine."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass(frozen=True)
class Cache:
    """A folder that its user alone can read and write; made when it is needed."""

    folder: Path

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """Give an empty folder on the cache's file system, and remove it afterwards."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder, prefix="work-") as name:
            yield Path(name)

    def keep(self, wheel: Path) -> Path:
        """Move a wheel from a workspace into the cache; return where it is now."""
        kept = self.folder / "wheels" / sha256_of(wheel) / wheel.name
        kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        wheel.chmod(0o600)
        wheel.replace(kept)
        return kept

    def answer(self, key: str) -> list[Path] | None:
        """Return the wheels that were remembered under a key; None unless all are still whole."""
        try:
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
        note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.workspace() as work:
            made = work / note.name
            made.write_text(json.dumps([f"{wheel.parent.name}/{wheel.name}" for wheel in wheels]))
            made.replace(note)

    def prune(self, now: float | None = None) -> None:
        """Remove what has not been used for a long time, and what a killed run has left."""
        oldest = (time.time() if now is None else now) - UNUSED
        for pattern in ("wheels/*", "made/*", "work-*"):
            for entry in self.folder.glob(pattern):
                with suppress(OSError):
                    if entry.stat().st_mtime < oldest:
                        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def _note(self, key: str) -> Path:
        return self.folder / "made" / f"{key}.json"

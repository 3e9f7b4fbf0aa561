"""The records of migrations of an app on this host: a file of JSON lines, append-only and fsynced.

A migration is recorded before it starts and after it has ended. Nothing is removed from the file,
which has no output and no secret.
"""

import json
from typing import List, Optional

from ..protocol.codec import from_json, to_json
from ..protocol.manifest import Manifest
from ..protocol.messages import Attempt
from ..protocol.migrations import MigrationLine
from ..system import files
from ..system.paths import Paths
from .history import utc


def append(paths: Paths, line: MigrationLine) -> None:
    files.make_directory(paths.root)
    files.append_line(paths.migrations, json.dumps(to_json(line)).encode())


def line(manifest: Manifest, state: str, attempt: Attempt, now: float) -> MigrationLine:
    """Return a record of a release's migration; `now` in seconds since the epoch."""
    reversible = manifest.migration is None or manifest.migration.reversible
    about = (manifest.id, manifest.version, state, reversible)
    return MigrationLine(*about, at=utc(now), who=attempt.who, txn=attempt.txn)


def lines(paths: Paths) -> List[MigrationLine]:
    """Return all records, the oldest first; skip a torn line."""
    found = map(_line, files.read_json_lines(paths.migrations))
    return [each for each in found if each is not None]


def _line(value: object) -> Optional[MigrationLine]:
    try:
        return from_json(MigrationLine, value)  # type: ignore[arg-type]
    except ValueError:
        return None

"""Adopt a root in which another tool has deployed, without changing it.

Its present content is recorded as a release without units, whose `current` points where it pointed.
A failed first deploy or a rollback returns to it as to any other release. The units of the other
tool are neither stopped nor started.
"""

import hashlib
import json

from ..protocol.answers import Result
from ..protocol.codec import to_json
from ..protocol.manifest import Artifact, Gate, Manifest
from ..protocol.messages import Attempt, Failure
from ..records import app_root, history, registry, releases
from ..records.history import Entry
from ..system import files
from ..system.failures import Refused
from ..system.paths import Paths

ADOPTED = "adopted"  # the version of the adopted release, and the prefix of its id
KEEP = 5  # releases, the default of a playbook
NO_ARTIFACT = Artifact(ADOPTED, "0", ADOPTED, "", 0)


def adopt(paths: Paths, attempt: Attempt, now: float) -> Manifest:
    """Record the root's content as a release; `now`: seconds since the epoch.

    Takes effect with the history's line: if interrupted before, nothing has happened.

    Raises:
        Refused: nothing-to-adopt, current-taken, releases-taken, or a reason for which no release
            can be installed there.
    """
    _require_foreign(paths)
    made = _manifest(paths, attempt, _target(paths))
    release = paths.release(made.id)
    files.make_directory(release.top)
    text = json.dumps(to_json(made), indent=1) + "\n"
    files.write(release.manifest, text.encode(), releases.MANIFEST_MODE)
    history.append(paths, _entry(paths, attempt, made.id, now))
    registry.note_committed(paths, made.id)
    return made


def _require_foreign(paths: Paths) -> None:
    for problem in app_root.problems(paths):
        if problem.code != app_root.FOREIGN:
            raise Refused(problem)
    if not app_root.is_foreign(paths):
        what = f"there is nothing to adopt in {paths.root}"
        raise Refused(Failure("nothing-to-adopt", what, "adopt", "run: shipit deploy PLAYBOOK"))


def _target(paths: Paths) -> str:
    """Return the target of `current`, "" if there is none."""
    target = releases.target_of_current(paths)
    if target and not target.isprintable():
        what = f"{paths.current} points at {target!a}, which cannot be recorded"
        raise Refused(Failure("current-taken", what, "adopt", "point it at a plain path"))
    return target


def _manifest(paths: Paths, attempt: Attempt, target: str) -> Manifest:
    digest = hashlib.sha256(f"{paths.root}\0{target}".encode("utf-8", "surrogateescape"))
    return Manifest(
        id=f"{ADOPTED}-{digest.hexdigest()[:8]}",
        app=paths.app,
        version=ADOPTED,
        root=paths.root,
        user="root",
        interpreter="",
        installer="",
        installer_wheel=NO_ARTIFACT,
        app_wheel=NO_ARTIFACT,
        wheels=(),
        requirements="",
        bundle="",
        units=(),
        texts=(),
        env=(),
        gate=Gate((), interval=1.0, deadline=10.0, min_healthy=0.0),
        smoke=(),
        keep_releases=KEEP,
        created=attempt.started,
        created_by=attempt.who,
        adopted=target,
    )


def _entry(paths: Paths, attempt: Attempt, release: str, now: float) -> Entry:
    return Entry(
        txn=attempt.txn,
        what=attempt.what,
        release=release,
        version=ADOPTED,
        previous="",
        outcome=Result.COMMITTED,
        who=attempt.who,
        at=history.utc(now),
        reason=attempt.reason,
        manifest=releases.manifest_digest(paths, release),
    )

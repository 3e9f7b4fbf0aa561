"""Remove what no rollback needs any more: old releases, unreferenced blobs, unused agents.

Only committed releases count against keep_releases. The running release, the rollback target, a
release of an open transaction and the newest failed one (as evidence) always stay. Others are first
quarantined by a rename, which is quick, and deleted when nobody waits for it.
"""

import os
import time
from contextlib import suppress
from typing import FrozenSet, Iterable, List, Optional, Sequence

from ..protocol.manifest import Manifest
from ..protocol.rules import generations
from ..records import history, registry, releases, watches
from ..records.history import Entry
from ..system import files, folders, removal, trust
from ..system.paths import Paths
from . import blobs, pythons, uv_cache

DAY = 24 * 3600.0
AGENT_UNUSED = 30 * DAY
LEFTOVER_GRACE = 3600.0  # seconds; no write of a file takes this long
BLOB_GRACE = 3600.0  # seconds; the blob may belong to a release that is being staged


def kept(
    attempts: Sequence[Entry], running: str, keep: int, needed: Iterable[str]
) -> FrozenSet[str]:
    """Return the releases that stay."""
    verified, failed = history.verified(attempts), history.failed(attempts)
    recent = generations.last_of_each(verified)[-keep:] if keep > 0 else []
    target = history.rollback_target(attempts, running)
    never_verified = [release for release in failed if release not in verified]
    return frozenset(
        [*recent, running, *needed, *([target] if target else []), *never_verified[-1:]]
    )


def quarantine(paths: Paths, stay: FrozenSet[str]) -> None:
    """Move every other release of this app out of releases/, by renames alone.

    Keeps what no transaction has ever named, as it belongs to others.
    """
    ours = _named(paths)
    for name in releases.listed(paths):
        if name in ours and name not in stay:
            mark(paths, name)


def _named(paths: Paths) -> FrozenSet[str]:
    """Return every release that a transaction of this app has ever named."""
    known = registry.load(paths)
    ours = {entry.release for entry in history.entries(paths)}
    return frozenset(ours.union(known.begun if known else ()))


def mark(paths: Paths, release: str) -> None:
    """Move one release out of releases/; `delete_marked` removes it."""
    _mark(paths, paths.release(release).top)


def mark_views(paths: Paths, spare: str) -> None:
    """Move all views of static files but one out of their directory, as `mark` does.

    Keeps what has not the name of a view, as it belongs to others.
    """
    found = [entry for entry in files.entries(paths.views) if entry.name != spare]
    ours = tuple(f"{release}." for release in _named(paths)) if found else ()
    for entry in found:
        if entry.name.startswith(ours) and entry.is_dir(follow_symlinks=False):
            _mark(paths, entry.path)


def _mark(paths: Paths, path: str) -> None:
    files.make_directory(paths.marked, 0o700)
    target = os.path.join(paths.marked, f"{os.path.basename(path)}.{time.monotonic_ns()}")
    try:
        os.rename(path, target)
    except FileNotFoundError:
        return
    files.sync_directory(os.path.dirname(path))


def delete_unused(paths: Paths, now: float) -> None:
    """Remove quarantined releases and unused files of this host; `now`: since the epoch.

    Keeps all blobs while a session uses any; a later call removes them.
    """
    delete_marked(paths)
    remove_leftovers(paths, now)
    with suppress(files.Locked), files.lock(paths.store_lock):
        needed = _manifests(paths)
        used = [artifact.sha256 for found in needed if found for artifact in found.artifacts()]
        _remove_old(paths.blobs, now - BLOB_GRACE, spare=used)
        blobs.delete_abandoned(paths, now)
        if None not in needed:
            used = [found.python.sha256 for found in needed if found and found.python]
            pythons.delete_unused(paths, used, now - BLOB_GRACE)
    _remove_old(paths.agents, now - AGENT_UNUSED, spare=watches.agents(paths))
    uv_cache.limit(paths)


def remove_leftovers(paths: Paths, now: float) -> None:
    """Remove the leftovers of killed writes and removals.

    In shared folders, remove only leftovers of shipit's writes: an administrator's backup of a unit
    may have a similar name.
    """
    ours = ("current.", "assets.", "shipit-", paths.app + "-")
    shared_with_others = (paths.root, paths.units, os.path.dirname(paths.boot_link))
    for folder in (*folders.folders(paths), *shared_with_others):
        for entry in files.entries(folder):
            is_written = entry.name.startswith(ours) and entry.name.endswith(".new")
            is_ours = folder not in shared_with_others or is_written
            is_leftover = files.LEFTOVER.fullmatch(entry.name) and is_ours
            if is_leftover and _is_older(entry.path, now - LEFTOVER_GRACE):
                files.remove(entry.path)


def _is_older(path: str, before: float) -> bool:
    try:
        return os.lstat(path).st_mtime < before
    except FileNotFoundError:
        return False


def delete_marked(paths: Paths) -> None:
    """Remove quarantined releases, including trees half removed by a killed predecessor."""
    removal.remove(paths.marked)


def _manifests(paths: Paths) -> List[Optional[Manifest]]:
    """Return the kept releases of all apps on this host; None for each that can't be read.

    A missing wheel is sent again; a missing interpreter would stop a service. Folders of another
    tool have no manifest, and one that is being staged has none yet.
    """
    apps, found = [paths], []  # type: List[Paths], List[Optional[Manifest]]
    for app, known in registry.others(paths).items():
        its = Paths(app, known.root, paths.var, paths.units)
        is_there = not known.release or os.path.isdir(its.releases)
        if not is_there or trust.weaknesses(known.root, its.releases):
            found.append(None)
        else:
            apps.append(its)
    for each in apps:
        ours = {entry.release for entry in history.entries(each)}
        there = {name: releases.manifest(each, name) for name in releases.listed(each)}
        found += (it for name, it in there.items() if it or name in ours)
    return found


def _remove_old(directory: str, before: float, *, spare: Iterable[str] = ()) -> None:
    spared = set(spare)
    for entry in files.entries(directory):
        if entry.name not in spared and _is_older(entry.path, before):
            files.unlink(entry.path)

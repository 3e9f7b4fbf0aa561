"""Find and remove what a transaction leaves behind. Each step may be repeated."""

import os
from contextlib import suppress
from typing import List

from ..activation import assets
from ..host.host import Host
from ..protocol.manifest import Manifest
from ..records import history, releases
from ..storage import prune
from ..system.paths import Paths
from .journal import UNREADABLE, Journal


def after_undoing(paths: Paths, open_: Journal, *, keep_evidence: bool) -> None:
    """Remove what could block, start or confuse anything later."""
    in_use = open_.release in (open_.previous, releases.pointed(paths))
    if open_.fresh and not keep_evidence and not in_use:
        prune.mark(paths, open_.release)
    if keep_evidence:
        around(paths, open_.previous, [open_.release])
    if not open_.previous and history.head(history.entries(paths)) is None:
        _take_down(paths)


def possible_trials(paths: Paths, open_: Journal) -> List[Manifest]:
    """Return all releases that may be on trial if the journal could not be read."""
    if open_.failure is None or open_.failure.code != UNREADABLE:
        return []
    found = (releases.manifest(paths, release) for release in releases.listed(paths))
    return [manifest for manifest in found if manifest is not None]


def around(paths: Paths, running: str, needed: List[str]) -> None:
    """Quarantine the releases that nobody needs beside the running one."""
    found = releases.manifest(paths, running)
    if found is not None:
        stay = prune.kept(history.entries(paths), running, found.keep_releases, needed)
        with suppress(OSError):  # the next deploy prunes again; this one is done
            prune.quarantine(paths, stay)


def views(paths: Paths, host: Host, running: str) -> None:
    """Leave the view of the running release alone: its static files, and what is kept of others."""
    with suppress(OSError):  # clients find more than they need; the next deploy removes it
        assets.settle(paths, host, releases.manifest(paths, running))


def _take_down(paths: Paths) -> None:
    """Remove the empty directories of an app that never ran here; the history stays."""
    prune.delete_marked(paths)
    for directory in (paths.releases, paths.shared):
        with suppress(OSError):  # not empty, or missing
            os.rmdir(directory)

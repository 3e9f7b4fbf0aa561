"""Return what runs here, since when and deployed by whom, and where the disk has drifted.

To verify, reads every byte (some 100 MiB/s). Changes nothing.
"""

import os
from datetime import datetime, timezone
from typing import Iterator, Mapping, Optional, Tuple

from ..host.host import UnitView
from ..protocol.answers import Drift, UnitState
from ..protocol.controls import CANARY
from ..protocol.manifest import Manifest
from ..protocol.messages import Status
from ..records import drained, history, holds, releases
from ..storage import drift
from ..system.paths import Paths
from ..transaction.store import Store
from ..watch import report
from .facts import is_running

POLICY = ("service.d", "socket.d", "timer.d")  # for all units of a type: systemd.unit(5)
DISTRIBUTION = ("/usr/lib/systemd/", "/lib/systemd/")


def gather(store: Store, *, verify: bool) -> Status:
    """Answer AskStatus; without a release its fields are empty."""
    paths = store.paths
    attempts = history.entries(paths)
    top = history.head(attempts)
    manifest = releases.manifest(paths, top.release) if top else None
    units, holder = [unit.name for unit in manifest.units] if manifest else [], store.holder()
    said, run = holds.said(paths), holder.attempt.txn if holder else ""
    canary = holds.canary(said, run)
    views = store.host.show(units)
    return Status(
        release=top.release if top else "",
        version=top.version if top else "",
        since=top.at if top else "",
        who=top.who if top else "",
        units=tuple(_state(views[name]) for name in units),
        drift=_drift(paths, top, manifest, views) if verify else (),
        holder=holder,
        stuck=store.stuck(),
        drained=None if holder else drained.read(paths),
        pause=holds.pause(said, run),
        canary=canary if canary and canary.what == CANARY else None,
        holds=holds.reported(holds.now_standing(paths, attempts, store.host.wall())),
        watch=report.state(store, attempts),
    )


def _state(view: UnitView) -> UnitState:
    active = f"{view.active}/{view.sub}"
    return UnitState(view.name, active, _iso(view.since), view.main_pid, view.restarts)


def _iso(since: float) -> str:
    if not since:
        return ""
    return datetime.fromtimestamp(since, timezone.utc).isoformat(timespec="seconds")


def _drift(
    paths: Paths,
    top: Optional[history.Entry],
    manifest: Optional[Manifest],
    views: Mapping[str, UnitView],
) -> Tuple[Drift, ...]:
    if top is None:
        return ()
    on_disk = drift.of(paths, top.release)
    if manifest is None:
        return on_disk
    return (*on_disk, *_drop_ins(manifest, views), *_not_running(manifest, views))


def _drop_ins(manifest: Manifest, views: Mapping[str, UnitView]) -> Iterator[Drift]:
    """Yield the drop-ins of single units; those for all units of a host are its policy."""
    for unit in manifest.units:
        for path in views[unit.name].drop_ins:
            of_all = os.path.basename(os.path.dirname(path)) in POLICY
            if not of_all and not path.startswith(DISTRIBUTION):
                what = f"{path} changes {unit.name}: it is not part of the release"
                yield Drift("drop-in", path, what)


def _not_running(manifest: Manifest, views: Mapping[str, UnitView]) -> Iterator[Drift]:
    for unit in manifest.units:
        view = views[unit.name]
        if unit.start and not is_running(view):
            what = f"{unit.name} is {view.active}/{view.sub} instead of active"
            yield Drift("unit-not-running", unit.name, what)
        if view.need_reload:
            what = f"{unit.name} was changed on the disk since systemd read it (daemon-reload)"
            yield Drift("unit-not-reloaded", unit.name, what)

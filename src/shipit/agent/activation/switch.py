"""Switch this host to a release, or to none: units, files, processes. Used in both directions.

A service with a handover starts beside its predecessor, which stops once the new one serves: until
then connections go to either, afterwards to the new one; systemd holds the listener. Each step can
be repeated: it leaves what is already as wanted. `unit_plan` decides the actions, `gate` judges the
result.
"""

import os
from dataclasses import replace
from typing import AbstractSet, Dict, FrozenSet, Optional, Sequence, Tuple

from ..health.gate import Interrupted
from ..host.host import Host, UnitView
from ..protocol.manifest import Manifest
from ..protocol.rules.unit_names import is_timer
from ..protocol.values import dataclass
from ..records import releases
from ..records.views import Layers
from ..system import files, sockets
from ..system.ownership import Move
from ..system.paths import Paths
from ..system.sockets import Endpoint
from . import assets
from .start import Starting, ask
from .unit_plan import Actions, UnitState, call_limit, decide

STARTING_TIMERS = "commit"  # the step


@dataclass(frozen=True)
class Switch:
    """The target of a switch, and what may be left as it is."""

    wanted: Optional[Manifest]  # None: remove the app from this host
    others: Tuple[str, ...]  # units to remove, if present and not wanted
    untouched: Optional[AbstractSet[str]]  # units that already run as wanted; None: its sockets
    step: str
    limit: float  # seconds for one call of systemd: see unit_plan.call_limit
    interrupted: Interrupted
    kept_up: AbstractSet[str] = frozenset()  # units that the other release starts itself
    moves: Tuple[Move, ...] = ()  # directories that change their owner
    reverting: bool = False
    is_rollback: bool = False

    @property
    def leads_to_earlier(self) -> bool:
        """Whether the target has run before: a failed chown must not stop it."""
        return self.reverting or self.is_rollback


def unit_names(*manifests: Optional[Manifest]) -> Tuple[str, ...]:
    """Return the names of all units of these releases."""
    return tuple(dict.fromkeys(u.name for m in manifests if m for u in m.units))


def kept_up(manifest: Optional[Manifest]) -> FrozenSet[str]:
    """Return the names of the units that a release starts itself."""
    units = manifest.units if manifest else ()
    return frozenset(unit.name for unit in units if unit.start)


def limit(*manifests: Optional[Manifest]) -> float:
    """Return the seconds for one call of systemd: it stops units of one, and starts the other's."""
    there = [manifest for manifest in manifests if manifest]
    units = [unit for manifest in there for unit in manifest.units]
    return call_limit(units, max((manifest.gate.deadline for manifest in there), default=0.0))


def switch(paths: Paths, host: Host, to: Switch) -> None:
    """Switch files and processes.

    Raises:
        Refused: systemd refused something, with the units' logs as evidence; or the failure of
            `interrupted`.
    """
    if to.reverting:  # a killed process may have written units that systemd has not read
        ask(host, "daemon-reload", to.step)
    patience = to.wanted.gate.deadline if to.wanted else 0.0
    starting = Starting(paths, host, to.step, host.wall(), to.limit, patience, to.interrupted)
    view = assets.prepare(paths, host, to.wanted, lenient=to.leads_to_earlier)
    actions = _install(paths, host, to)
    if to.moves:
        ask(host, "stop", to.step, actions.quiet, to.limit)
        _hand_over(host, to)
    if actions.reload_first:
        ask(host, "daemon-reload", to.step)
    ask(host, "stop", to.step, actions.retire, to.limit)
    _put_on_disk(paths, host, to, actions, view)
    ask(host, "stop", to.step, actions.stop, to.limit)
    if actions.reset:
        host.systemctl("reset-failed", actions.reset)  # fails for units that never ran: fine
    starting.run("start", actions.start)
    for wave in actions.restart:
        starting.run("restart", wave)
    for handover in actions.handovers:
        starting.hand_over(handover, _listener(to.wanted, handover.start))
    if actions.leaving:
        _forget(paths, host, to, actions.leaving)
    starting.run("restart", actions.timers)


def _listener(wanted: Optional[Manifest], name: str) -> Optional[Endpoint]:
    """Return where systemd listens for a unit; None if nowhere that can be probed."""
    if wanted is None:
        return None
    service = next(unit.service for unit in wanted.units if unit.name == name)
    return next(iter(sockets.endpoints(wanted.listen(service))), None)


def before_commit(wanted: Manifest) -> Manifest:
    """Return a release without its timers, as it runs until it is committed."""
    return replace(wanted, units=tuple(u for u in wanted.units if not is_timer(u.name)))


def start_timers(
    paths: Paths, host: Host, wanted: Manifest, previous: Optional[Manifest], how: str
) -> None:
    """Start the timers of a committed release.

    systemd catches up on a run that a timer missed while it was stopped. That is wanted for a run
    that was due during the deploy, but not for a timer that is new or has changed.

    Raises:
        Refused: systemctl-failed.
    """
    names = [unit.name for unit in wanted.units if is_timer(unit.name)]
    before = releases.text_digests(previous) if previous else {}
    now = releases.text_digests(wanted)
    for name in names:
        if before.get(f"units/{name}") != now.get(f"units/{name}"):
            host.remove(paths.timer_stamp(name))
    ask(host, how, STARTING_TIMERS, names)


def _forget(paths: Paths, host: Host, to: Switch, names: Sequence[str]) -> None:
    ask(host, "disable --no-reload", to.step, names)
    for name in names:
        host.remove(os.path.join(paths.units, name))
    ask(host, "daemon-reload", to.step)


def put_on_disk(paths: Paths, host: Host, to: Switch) -> None:
    """Switch the files alone, and have systemd read them: what starts next is as wanted.

    For the boot, when nothing of the app runs yet and nothing may be waited for.
    """
    view = assets.prepare(paths, host, to.wanted, lenient=to.leads_to_earlier)
    actions = _install(paths, host, to)
    _hand_over(host, to)
    if actions.disable:
        host.systemctl("stop --no-block", actions.disable)  # takes back a queued start
    _put_on_disk(paths, host, to, actions, view)


def _install(paths: Paths, host: Host, to: Switch) -> Actions:
    """Decide what to do, and write the texts of the units, which systemd does not read yet."""
    names = list(dict.fromkeys([*unit_names(to.wanted), *to.others]))
    texts = texts_of(paths, to.wanted) if to.wanted else {}
    views = host.show(names)
    state = UnitState(
        releases.installed_texts(paths, names),
        views,
        _running_sockets(views) if to.untouched is None else to.untouched,
        to.kept_up,
        reverting=to.reverting,
        hands_over=bool(to.moves),
    )
    actions = decide(to.wanted.units if to.wanted else (), texts, to.others, state)
    for name in actions.write:
        host.install(os.path.join(paths.units, name), texts[name])
    return actions


def texts_of(paths: Paths, wanted: Manifest) -> Dict[str, str]:
    """Return the texts of a release's units, verified by its manifest.

    Raises:
        Refused: release-damaged.
    """
    names = [f"units/{unit.name}" for unit in wanted.units]
    texts = releases.verified_texts(paths, wanted, names)
    return {os.path.basename(path): text for path, text in texts.items()}


def restore_texts(paths: Paths, running: Manifest) -> None:
    """Restore changed texts of the running release from the installed units.

    The next switch overwrites the installed units.
    """
    digests = releases.text_digests(running)
    kept = releases.unit_texts(paths, running)
    for name, text in releases.installed_texts(paths, unit_names(running)).items():
        path = f"units/{name}"
        wanted = releases.digest(text) == digests.get(path)
        if wanted and kept.get(name) != text:
            files.write(paths.release(running.id).text(path), text.encode())


def _hand_over(host: Host, to: Switch) -> None:
    """Give the app's directories to the user of the release that is about to be started.

    Must precede the start of its units: systemd would chown every file there.
    """
    for move in to.moves:
        host.hand_over(move, lenient=to.leads_to_earlier)


def _put_on_disk(paths: Paths, host: Host, to: Switch, actions: Actions, view: Layers) -> None:
    ask(host, "disable --no-reload", to.step, actions.disable)
    for name in actions.remove:
        host.remove(os.path.join(paths.units, name))
    ask(host, "enable --no-reload", to.step, actions.enable)
    ask(host, "reenable --no-reload", to.step, actions.reenable)
    # In a rollback the disk may be right but not yet read: a kill can come between the two.
    if actions.reload or to.reverting:
        ask(host, "daemon-reload", to.step)
    if to.wanted and to.wanted.target:
        host.point(paths.current, to.wanted.target)
    else:
        host.remove(paths.current)
    assets.point(paths, host, view)


def _running_sockets(views: Dict[str, UnitView]) -> FrozenSet[str]:
    """Return the units that a deploy may leave running if their text is unchanged."""
    return frozenset(n for n, view in views.items() if view.is_active and n.endswith(".socket"))

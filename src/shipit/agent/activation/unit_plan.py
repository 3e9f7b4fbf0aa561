"""Decide which actions on systemd's units lead to exactly those of a release. Pure.

Promises: an unchanged socket keeps running (connections queue in the kernel), every long-running
service is restarted (its code has changed even if its text has not) with its restart count at zero,
no unit of another release remains. A service with the handover `overlap` has a separate unit in
each release: it is started before its predecessor is stopped. The timers of a new release start
with its commit: until then no job runs.
"""

from typing import AbstractSet, Dict, Iterable, List, Mapping, Set, Tuple

from ..host.host import UnitView
from ..protocol.manifest import OVERLAP, Unit, lasting
from ..protocol.rules import unit_text
from ..protocol.rules.unit_names import family, is_timer
from ..protocol.values import dataclass

INSTALLABLE_BY_NOBODY = ("static", "alias", "generated", "transient")
START_MARGIN = 120.0  # seconds; systemd's own limit for a start is 90


@dataclass(frozen=True)
class UnitState:
    """The units as found before the switch."""

    texts: Mapping[str, str]  # of the installed units
    views: Mapping[str, UnitView]  # of every unit that may be touched
    untouched: AbstractSet[str]  # already run as wanted
    kept_up: AbstractSet[str] = frozenset()  # units that the other release starts itself
    reverting: bool = False
    hands_over: bool = False  # directories change their owner


@dataclass(frozen=True)
class Handover:
    """A unit that starts beside those that it replaces, which stop once it serves."""

    start: str
    stop: Tuple[str, ...]


@dataclass(frozen=True)
class Actions:
    """What to do, in this order, with the named units."""

    write: Tuple[str, ...]
    reload_first: bool  # before unwanted units stop: their socket must not start them again
    retire: Tuple[
        str, ...
    ]  # stop: not wanted any more, or not yet; and the sockets that would start them
    disable: Tuple[str, ...]  # removed units, and services that became a job
    remove: Tuple[str, ...]
    enable: Tuple[str, ...]
    reenable: Tuple[str, ...]  # [Install] has changed
    reload: bool
    stop: Tuple[str, ...]  # sockets that change, with the services that hold them
    reset: Tuple[str, ...]  # forget failures: systemd refuses to start a unit after a crash loop
    start: Tuple[str, ...]  # sockets
    restart: Tuple[Tuple[str, ...], ...]  # services; of instances one after another
    handovers: Tuple[Handover, ...]
    leaving: Tuple[str, ...]  # disable and remove, after the handover
    timers: Tuple[str, ...]  # restart last
    quiet: Tuple[str, ...]  # stop first, as their directories change their owner


def decide(
    units: Iterable[Unit], texts: Mapping[str, str], others: Iterable[str], state: UnitState
) -> Actions:
    """Return the actions that lead from `state` to `units` with `texts`.

    `others` are the names of units to remove, if present and not in `units`.
    """
    wanted = {unit.name: unit for unit in units}
    unwanted = sorted(set(others) - set(wanted))
    stale = [n for n in unwanted if n in state.texts or state.views[n].active != "inactive"]
    write = tuple(name for name in wanted if state.texts.get(name) != texts[name])
    alone = {name for name in wanted if _may_stay(name, texts, state)}
    # The services whose sockets are recreated: systemd stops a service with its socket.
    remade = {u.service for n, u in wanted.items() if _is_socket(n) and n not in alone}
    alone -= {name for name in alone if _is_service(name) and wanted[name].service in remade}
    handovers = _handovers(_beginning(wanted, alone, remade, state), stale, state)
    leaving = tuple(name for each in handovers for name in each.stop)
    gone = [name for name in stale if name not in leaving]
    removed = tuple(name for name in gone if name in state.texts)
    beside = {each.start for each in handovers}
    begin = [n for n, unit in wanted.items() if unit.start and n not in alone and n not in beside]
    # What was a long-running service would block its timer for ever.
    jobs = [n for n, unit in wanted.items() if not unit.start and _was_running(n, state)]
    held = [] if state.reverting else [name for name in wanted if is_timer(name)]
    retired = [name for name in (*held, *gone, *jobs) if state.views[name].is_up]
    waking = _waking(wanted, retired, state)
    return Actions(
        write=write,
        reload_first=bool(waking & alone),
        retire=(*sorted(waking - alone), *retired),
        disable=(*removed, *(name for name in jobs if _is_enabled(name, state))),
        remove=removed,
        enable=tuple(name for name in wanted if _needs_enable(wanted[name], state)),
        reenable=tuple(name for name in write if _needs_reenable(wanted[name], texts, state)),
        reload=bool(write or removed or any(view.need_reload for view in state.views.values())),
        stop=tuple(_stopped(wanted, alone, remade, state)),
        # A stale unit may fail while it is stopped: a last request can start a crashing service.
        reset=(*(name for name in wanted if name not in alone), *stale),
        start=tuple(name for name in begin if _is_socket(name)),
        restart=tuple(_waves(filter(_is_service, begin))),
        handovers=handovers,
        leaving=leaving,
        timers=tuple(name for name in begin if is_timer(name) and name not in held),
        quiet=tuple(_quiet(alone, state)) if state.hands_over else (),
    )


def call_limit(units: Iterable[Unit], deadline: float = 0.0) -> float:
    """Return the seconds that one call of systemd on some of these units may take.

    Stopping may take each unit's stop_timeout; starting, as long as the gate (`deadline`).
    """
    return START_MARGIN + deadline + sum(unit.stop_timeout for unit in units)


def _handovers(
    beginning: Dict[str, List[str]], stale: List[str], state: UnitState
) -> Tuple[Handover, ...]:
    """Pair the starting units with those they replace, one by one; the last replaces the rest."""
    found = []
    for family_name, begin in beginning.items():
        of_old = (n for n in stale if _is_service(n) and state.views[n].is_up)
        old = [name for name in of_old if family(name) == family_name]
        for index, name in enumerate(begin, start=1):
            end = len(old) if index == len(begin) else index
            found.append(Handover(name, tuple(old[index - 1 : end])))
    return tuple(found)


def _waking(wanted: Dict[str, Unit], retired: List[str], state: UnitState) -> Set[str]:
    """Return the sockets that are up and whose service is retired."""
    families = {family(name) for name in retired if _is_service(name)}
    sockets = filter(_is_socket, wanted)
    return {name for name in sockets if family(name) in families and state.views[name].is_up}


def _quiet(alone: Set[str], state: UnitState) -> List[str]:
    """Return what is up and stays stopped, as no socket starts it again; timers first."""
    up = [name for name, view in state.views.items() if view.is_up and name not in alone]
    behind = {family(name) for name, view in state.views.items() if _is_socket(name) and view.is_up}
    services = [name for name in up if _is_service(name) and family(name) not in behind]
    return [*filter(is_timer, up), *services]


def _beginning(
    wanted: Dict[str, Unit], alone: Set[str], remade: Set[str], state: UnitState
) -> Dict[str, List[str]]:
    """Return by family the services that can start beside others: not those that already run.

    A socket that is recreated can't be shared: its services are stopped first.
    """
    found: Dict[str, List[str]] = {}
    for name, unit in wanted.items():
        idle = name not in alone and not state.views[name].is_up
        overlaps = unit.handover == OVERLAP and unit.service not in remade
        if overlaps and unit.start and _is_service(name) and idle:
            found.setdefault(family(name), []).append(name)
    return found


def _waves(names: Iterable[str]) -> List[Tuple[str, ...]]:
    """Group units into waves with one unit of each family."""
    waves: List[List[str]] = []
    for name in names:
        free = [wave for wave in waves if family(name) not in map(family, wave)]
        if not free:
            free = [[]]
            waves += free
        free[0].append(name)
    return [tuple(wave) for wave in waves]


def _is_socket(name: str) -> bool:
    return name.endswith(".socket")


def _is_service(name: str) -> bool:
    return name.endswith(".service")


def _was_running(name: str, state: UnitState) -> bool:
    return name in state.kept_up or _is_enabled(name, state)


def _is_enabled(name: str, state: UnitState) -> bool:
    return state.views[name].file_state == "enabled"


def _may_stay(name: str, texts: Mapping[str, str], state: UnitState) -> bool:
    view = state.views[name]
    same = lasting(name, state.texts.get(name, "")) == lasting(name, texts[name])
    return name in state.untouched and same and view.is_active and not view.need_reload


def _stopped(
    wanted: Dict[str, Unit], alone: Set[str], remade: Set[str], state: UnitState
) -> List[str]:
    """Return the units to stop before anything is started."""
    sockets = {unit.service for unit in wanted.values() if _is_socket(unit.name)}

    def has_to(unit: Unit) -> bool:
        if unit.service in remade:
            return True  # a socket can't change while a service holds it
        if state.views[unit.name].restarts:
            return True  # reset systemd's restart count: a crash of the old release must not count
        # Its socket would start a service again. A timer's job may finish, unless it belongs to a
        # release that is rolled back.
        rolled_back = state.reverting and unit.name not in state.untouched
        return not unit.start and (unit.service in sockets or rolled_back)

    candidates = [u for n, u in wanted.items() if n not in alone and state.views[n].is_up]
    return [unit.name for unit in candidates if has_to(unit)]


def _needs_enable(unit: Unit, state: UnitState) -> bool:
    file_state = state.views[unit.name].file_state
    return unit.start and file_state != "enabled" and file_state not in INSTALLABLE_BY_NOBODY


def _needs_reenable(unit: Unit, texts: Mapping[str, str], state: UnitState) -> bool:
    if not unit.start or unit.name not in state.texts or _needs_enable(unit, state):
        return False
    new = unit_text.settings(texts[unit.name], "Install")
    return new != unit_text.settings(state.texts[unit.name], "Install")

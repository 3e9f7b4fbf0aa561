"""Decide what has to be done to systemd's units to have exactly a release's. Pure.

Promises: a socket or timer that is as wanted is left alone (connections queue in the kernel), every
long-running service is restarted (its code has changed even where its text has not) and has its
restarts counted from zero, no unit of another release is left.
"""

from dataclasses import dataclass
from typing import AbstractSet, Dict, Iterable, List, Mapping, Set, Tuple

from .contents import Unit
from .host import UnitView

INSTALLABLE_BY_NOBODY = ("static", "alias", "generated", "transient")
START_MARGIN = 120.0  # seconds; systemd's own limit for a start is 90


@dataclass(frozen=True)
class Scene:
    """What is there before anything is done."""

    texts: Mapping[str, str]  # of the installed units
    views: Mapping[str, UnitView]  # of every unit that may have to be touched
    untouched: AbstractSet[str]  # run already as the wanted release has them
    going_back: bool = False


@dataclass(frozen=True)
class Actions:
    """What to do, in this order; names of units."""

    write: Tuple[str, ...]
    retire: Tuple[str, ...]  # stop: no longer wanted
    disable: Tuple[str, ...]
    remove: Tuple[str, ...]
    enable: Tuple[str, ...]
    reenable: Tuple[str, ...]  # [Install] has changed
    reload: bool
    stop: Tuple[str, ...]  # sockets that change, with the services that hold them
    reset: Tuple[str, ...]  # forget failures: systemd refuses to start a unit after a crash loop
    start: Tuple[str, ...]  # sockets
    restart: Tuple[str, ...]  # services and timers


def decide(
    units: Iterable[Unit], texts: Mapping[str, str], others: Iterable[str], scene: Scene
) -> Actions:
    """Return the actions that lead from the scene to `units` with `texts`.

    `others` are the names of units that may be there and are no longer wanted unless in `units`.
    """
    wanted = {unit.name: unit for unit in units}
    stale = sorted(name for name in set(others) - set(wanted) if _is_there(name, scene))
    removed = tuple(name for name in stale if name in scene.texts)
    write = tuple(name for name in wanted if scene.texts.get(name) != texts[name])
    alone = {name for name in wanted if _may_stay(name, write, scene)}
    stop = _stopped(wanted, alone, scene)
    begin = [name for name, unit in wanted.items() if unit.start and name not in alone]
    return Actions(
        write=write,
        retire=tuple(name for name in stale if scene.views[name].is_up),
        disable=removed,
        remove=removed,
        enable=tuple(name for name in wanted if _needs_enable(wanted[name], scene)),
        reenable=tuple(name for name in write if _needs_reenable(wanted[name], texts, scene)),
        reload=bool(write or removed or any(view.need_reload for view in scene.views.values())),
        stop=tuple(stop),
        # A stale unit may fail only while it is stopped: a last request wakes a crashing service.
        reset=(*(name for name in wanted if name not in alone), *stale),
        start=tuple(name for name in begin if _is_socket(name)),
        restart=tuple(name for name in begin if not _is_socket(name)),
    )


def stop_limit(units: Iterable[Unit]) -> float:
    """Return the seconds that stopping and starting these units may take at most."""
    return START_MARGIN + sum(unit.stop_timeout for unit in units)


def _is_there(name: str, scene: Scene) -> bool:
    return name in scene.texts or scene.views[name].is_up or scene.views[name].active == "failed"


def _is_socket(name: str) -> bool:
    return name.endswith(".socket")


def _may_stay(name: str, write: Tuple[str, ...], scene: Scene) -> bool:
    view = scene.views[name]
    return name in scene.untouched and name not in write and view.is_active and not view.need_reload


def _stopped(wanted: Dict[str, Unit], alone: Set[str], scene: Scene) -> List[str]:
    """Return the units to stop before anything is started."""
    sockets = {unit.service for unit in wanted.values() if _is_socket(unit.name)}
    changed = {u.service for u in wanted.values() if _is_socket(u.name) and u.name not in alone}

    def has_to(unit: Unit) -> bool:
        if unit.service in changed:
            return True  # a socket can't change while a service holds it
        if scene.views[unit.name].restarts:
            return True  # else systemd may go on counting: a crash of the old for one of the new
        # What a socket has started is started again by it; a timer's job may end in peace,
        # unless it is the work of a release that is taken back.
        return not unit.start and (unit.service in sockets or scene.going_back)

    candidates = [u for n, u in wanted.items() if n not in alone and scene.views[n].is_up]
    return [unit.name for unit in candidates if has_to(unit)]


def _needs_enable(unit: Unit, scene: Scene) -> bool:
    state = scene.views[unit.name].file_state
    return unit.start and state != "enabled" and state not in INSTALLABLE_BY_NOBODY


def _needs_reenable(unit: Unit, texts: Mapping[str, str], scene: Scene) -> bool:
    if not unit.start or unit.name not in scene.texts or _needs_enable(unit, scene):
        return False
    return _install_section(texts[unit.name]) != _install_section(scene.texts[unit.name])


def _install_section(text: str) -> List[str]:
    section, lines = "", []
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            section = line
        elif section == "[Install]" and line and line[0] not in "#;":
            lines.append(line)
    return lines

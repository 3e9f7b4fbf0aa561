from __future__ import annotations

from dataclasses import replace

import pytest

from shipit.agent.contents import Unit
from shipit.agent.host import UnitView
from shipit.agent.units import Actions, Scene, decide

SOCKET = Unit("a-web.socket", "web", start=True, watched=False, stop_timeout=1)
WEB = Unit("a-web.service", "web", start=True, watched=True, stop_timeout=1)
WORKER = Unit("a-worker.service", "worker", start=True, watched=True, stop_timeout=1)
NIGHTLY = Unit("a-nightly.service", "nightly", start=False, watched=False, stop_timeout=1)
TIMER = Unit("a-nightly.timer", "nightly", start=True, watched=False, stop_timeout=1)
ALL = (SOCKET, WEB, WORKER, NIGHTLY, TIMER)
TEXTS = {unit.name: f"[Unit]\n# {unit.name}\n[Install]\nWantedBy=x\n" for unit in ALL}
NOTHING = Actions((), (), (), (), (), (), reload=False, stop=(), reset=(), start=(), restart=())


def up(unit: Unit, **changes: object) -> UnitView:
    plain = UnitView(unit.name, "loaded", "active", "running", "enabled", f"i-{unit.name}")
    return replace(plain, **changes)  # type: ignore[arg-type]


def scene(*running: Unit, texts: dict[str, str] | None = None, **more: object) -> Scene:
    views = {unit.name: UnitView(unit.name) for unit in ALL}
    views |= {unit.name: up(unit) for unit in running}
    plain = Scene(TEXTS if texts is None else texts, views, frozenset())
    return replace(plain, **more)  # type: ignore[arg-type]


def names(*units: Unit) -> tuple[str, ...]:
    return tuple(unit.name for unit in units)


def test_on_a_clean_host_everything_is_written_enabled_and_started() -> None:
    assert decide(ALL, TEXTS, (), scene(texts={})) == replace(
        NOTHING,
        write=names(*ALL),
        enable=names(SOCKET, WEB, WORKER, TIMER),
        reload=True,
        reset=names(*ALL),
        start=names(SOCKET),
        restart=names(WEB, WORKER, TIMER),
    )


def test_unchanged_sockets_and_timers_are_left_alone_and_services_restarted() -> None:
    there = scene(SOCKET, WEB, WORKER, TIMER, untouched=frozenset(names(SOCKET, TIMER)))
    assert decide(ALL, TEXTS, names(*ALL), there) == replace(
        NOTHING, reset=names(WEB, WORKER, NIGHTLY), restart=names(WEB, WORKER)
    )


def test_a_changed_socket_has_its_service_stopped_first() -> None:
    old = {**TEXTS, SOCKET.name: "[Socket]\nListenStream=1\n[Install]\nWantedBy=x\n"}
    there = scene(SOCKET, WEB, WORKER, texts=old, untouched=frozenset(names(SOCKET)))
    actions = decide((SOCKET, WEB, WORKER), TEXTS, (), there)
    assert actions.stop == names(SOCKET, WEB)
    assert actions.start == names(SOCKET)
    assert actions.restart == names(WEB, WORKER)


def test_a_socket_that_systemd_has_not_read_anew_counts_as_changed() -> None:
    there = scene(SOCKET, WEB, untouched=frozenset(names(SOCKET)))
    views = {**there.views, SOCKET.name: up(SOCKET, need_reload=True)}
    actions = decide((SOCKET, WEB), TEXTS, (), replace(there, views=views))
    assert actions.reload
    assert actions.stop == names(SOCKET, WEB)


def test_stale_units_are_stopped_disabled_and_removed() -> None:
    there = scene(WEB, WORKER, untouched=frozenset())
    actions = decide((WEB,), TEXTS, names(WEB, WORKER), there)
    assert (actions.retire, actions.disable, actions.remove) == (names(WORKER),) * 3
    assert actions.reload


def test_what_was_never_there_is_not_removed() -> None:
    actions = decide((WEB,), TEXTS, ["a-gone.service", WORKER.name], _without_worker())
    assert actions.remove == ()


def _without_worker() -> Scene:
    there = scene(WEB, texts={WEB.name: TEXTS[WEB.name]})
    return replace(there, views={**there.views, "a-gone.service": UnitView("a-gone.service")})


@pytest.mark.parametrize("state", ["failed", "activating"])
def test_a_stale_unit_that_failed_or_yet_may_is_forgotten_by_systemd(state: str) -> None:
    there = scene(WEB)
    views = {**there.views, WORKER.name: up(WORKER, active=state)}
    actions = decide((WEB,), TEXTS, names(WORKER), replace(there, views=views))
    assert WORKER.name in actions.reset


def test_a_service_that_crashes_again_and_again_is_stopped_before_it_is_forgotten() -> None:
    there = scene(WEB, WORKER)
    views = {**there.views, WEB.name: up(WEB, restarts=2)}
    actions = decide((WEB, WORKER), TEXTS, (), replace(there, views=views))
    assert actions.stop == names(WEB)
    assert WEB.name in actions.reset
    assert actions.restart == names(WEB, WORKER)


@pytest.mark.parametrize(("going_back", "stopped"), [(False, ()), (True, (NIGHTLY.name,))])
def test_a_timers_job_ends_in_peace_unless_its_release_is_taken_back(
    *, going_back: bool, stopped: tuple[str, ...]
) -> None:
    there = scene(NIGHTLY, TIMER, going_back=going_back)
    assert decide((NIGHTLY, TIMER), TEXTS, (), there).stop == stopped


def test_a_changed_install_section_is_enabled_anew() -> None:
    old = {**TEXTS, WEB.name: TEXTS[WEB.name].replace("WantedBy=x", "WantedBy=y")}
    assert decide((WEB,), TEXTS, (), scene(WEB, texts=old)).reenable == names(WEB)


def test_going_back_to_what_still_runs_touches_nothing() -> None:
    there = scene(SOCKET, WEB, untouched=frozenset(names(SOCKET, WEB)), going_back=True)
    assert decide((SOCKET, WEB), TEXTS, (), there) == NOTHING

from __future__ import annotations

from dataclasses import replace

import pytest

from shipit.agent.activation.unit_plan import (
    START_MARGIN,
    Actions,
    Handover,
    UnitState,
    call_limit,
    decide,
)
from shipit.agent.host.host import UnitView
from shipit.agent.protocol.manifest import OVERLAP, Unit
from shipit.agent.protocol.rules.unit_names import family

SOCKET = Unit("a-web.socket", "web", start=True, watched=False, stop_timeout=1)
WEB = Unit("a-web.service", "web", start=True, watched=True, stop_timeout=1)
WORKER = Unit("a-worker.service", "worker", start=True, watched=True, stop_timeout=1)
NIGHTLY = Unit("a-nightly.service", "nightly", start=False, watched=False, stop_timeout=1)
TIMER = Unit("a-nightly.timer", "nightly", start=True, watched=False, stop_timeout=1)
ALL = (SOCKET, WEB, WORKER, NIGHTLY, TIMER)
TEXTS = {unit.name: f"[Unit]\n# {unit.name}\n[Install]\nWantedBy=x\n" for unit in ALL}
NOTHING = Actions((), False, (), (), (), (), (), False, (), (), (), (), (), (), (), ())


def up(unit: Unit, **changes: object) -> UnitView:
    plain = UnitView(unit.name, "loaded", "active", "running", "enabled", f"i-{unit.name}")
    return replace(plain, **changes)  # type: ignore[arg-type]


def as_found(*running: Unit, texts: dict[str, str] | None = None, **more: object) -> UnitState:
    views = {unit.name: UnitView(unit.name) for unit in ALL}
    views |= {unit.name: up(unit) for unit in running}
    plain = UnitState(TEXTS if texts is None else texts, views, frozenset())
    return replace(plain, **more)  # type: ignore[arg-type]


def names(*units: Unit) -> tuple[str, ...]:
    return tuple(unit.name for unit in units)


def test_on_a_clean_host_everything_is_written_enabled_and_started() -> None:
    assert decide(ALL, TEXTS, (), as_found(texts={})) == replace(
        NOTHING,
        write=names(*ALL),
        enable=names(SOCKET, WEB, WORKER, TIMER),
        reload=True,
        reset=names(*ALL),
        start=names(SOCKET),
        restart=(names(WEB, WORKER),),
    )


def test_an_unchanged_socket_is_left_alone_services_restart_and_timers_wait_for_the_commit() -> (
    None
):
    there = as_found(SOCKET, WEB, WORKER, TIMER, untouched=frozenset(names(SOCKET)))
    assert decide(ALL, TEXTS, names(*ALL), there) == replace(
        NOTHING,
        retire=names(TIMER),
        reset=names(WEB, WORKER, NIGHTLY, TIMER),
        restart=(names(WEB, WORKER),),
    )


def test_a_rollback_starts_the_timers_after_the_services() -> None:
    actions = decide(ALL, TEXTS, (), as_found(SOCKET, WEB, WORKER, reverting=True))
    assert (actions.retire, actions.timers) == ((), names(TIMER))
    assert actions.restart == (names(WEB, WORKER),)


@pytest.mark.parametrize("kept_up", [frozenset(names(NIGHTLY)), frozenset()])
@pytest.mark.parametrize("file_state", ["enabled", "static"])
def test_a_process_that_has_become_a_job_stops_and_is_started_by_its_timer_alone(
    kept_up: frozenset[str], file_state: str
) -> None:
    """Before, it ran on for ever, and a timer does not start what runs already."""
    there = as_found(NIGHTLY, kept_up=kept_up)
    views = {**there.views, NIGHTLY.name: up(NIGHTLY, file_state=file_state)}
    actions = decide((NIGHTLY, TIMER), TEXTS, (), replace(there, views=views))
    was_process = bool(kept_up) or file_state == "enabled"
    assert actions.retire == (names(NIGHTLY) if was_process else ())
    assert actions.disable == (names(NIGHTLY) if file_state == "enabled" else ())
    assert actions.remove == ()


def test_a_job_at_work_since_before_the_deploy_ends_in_peace_when_that_is_taken_back() -> None:
    there = as_found(NIGHTLY, reverting=True, untouched=frozenset(names(NIGHTLY)), texts={})
    assert decide((NIGHTLY, TIMER), TEXTS, (), there).stop == ()


def test_a_changed_socket_has_its_service_stopped_first() -> None:
    old = {**TEXTS, SOCKET.name: "[Socket]\nListenStream=1\n[Install]\nWantedBy=x\n"}
    there = as_found(SOCKET, WEB, WORKER, texts=old, untouched=frozenset(names(SOCKET)))
    actions = decide((SOCKET, WEB, WORKER), TEXTS, (), there)
    assert actions.stop == names(SOCKET, WEB)
    assert actions.start == names(SOCKET)
    assert actions.restart == (names(WEB, WORKER),)


def test_a_socket_that_systemd_has_not_read_anew_counts_as_changed() -> None:
    there = as_found(SOCKET, WEB, untouched=frozenset(names(SOCKET)))
    views = {**there.views, SOCKET.name: up(SOCKET, need_reload=True)}
    actions = decide((SOCKET, WEB), TEXTS, (), replace(there, views=views))
    assert actions.reload
    assert actions.stop == names(SOCKET, WEB)


def test_stale_units_are_stopped_disabled_and_removed() -> None:
    there = as_found(WEB, WORKER, untouched=frozenset())
    actions = decide((WEB,), TEXTS, names(WEB, WORKER), there)
    assert (actions.retire, actions.disable, actions.remove) == (names(WORKER),) * 3
    assert actions.reload


def test_what_was_never_there_is_not_removed() -> None:
    actions = decide((WEB,), TEXTS, ["a-gone.service", WORKER.name], _without_worker())
    assert actions.remove == ()
    assert actions.reset == names(WEB)


def test_what_has_failed_is_forgotten_even_if_its_file_is_gone() -> None:
    there = _without_worker()
    views = {**there.views, WORKER.name: up(WORKER, active="failed")}
    actions = decide((WEB,), TEXTS, [WORKER.name], replace(there, views=views))
    assert (actions.remove, actions.reset) == ((), names(WEB, WORKER))


def _without_worker() -> UnitState:
    there = as_found(WEB, texts={WEB.name: TEXTS[WEB.name]})
    return replace(there, views={**there.views, "a-gone.service": UnitView("a-gone.service")})


@pytest.mark.parametrize("state", ["failed", "activating"])
def test_a_stale_unit_that_failed_or_yet_may_is_forgotten_by_systemd(state: str) -> None:
    there = as_found(WEB)
    views = {**there.views, WORKER.name: up(WORKER, active=state)}
    actions = decide((WEB,), TEXTS, names(WORKER), replace(there, views=views))
    assert WORKER.name in actions.reset


def test_a_service_that_crashes_again_and_again_is_stopped_before_it_is_forgotten() -> None:
    there = as_found(WEB, WORKER)
    views = {**there.views, WEB.name: up(WEB, restarts=2)}
    actions = decide((WEB, WORKER), TEXTS, (), replace(there, views=views))
    assert actions.stop == names(WEB)
    assert WEB.name in actions.reset
    assert actions.restart == (names(WEB, WORKER),)


@pytest.mark.parametrize(("reverting", "stopped"), [(False, ()), (True, (NIGHTLY.name,))])
def test_a_timers_job_ends_in_peace_unless_its_release_is_taken_back(
    *, reverting: bool, stopped: tuple[str, ...]
) -> None:
    there = as_found(TIMER, reverting=reverting)
    views = {**there.views, NIGHTLY.name: up(NIGHTLY, active="activating", file_state="static")}
    there = replace(there, views=views)
    assert decide((NIGHTLY, TIMER), TEXTS, (), there).stop == stopped


def test_a_changed_install_section_is_enabled_anew() -> None:
    old = {**TEXTS, WEB.name: TEXTS[WEB.name].replace("WantedBy=x", "WantedBy=y")}
    assert decide((WEB,), TEXTS, (), as_found(WEB, texts=old)).reenable == names(WEB)


@pytest.mark.parametrize(
    ("install", "changes"),
    [
        ("WantedBy=x\n\n# a comment\n;another\n[Unit]\nAfter=y", False),
        ("\nWantedBy=x\nX-Note=a", True),
        ("", True),
    ],
)
def test_only_what_install_says_is_compared(install: str, *, changes: bool) -> None:
    old = {**TEXTS, WEB.name: f"[Unit]\n# {WEB.name}\n[Install]\n{install}\n"}
    assert decide((WEB,), TEXTS, (), as_found(WEB, texts=old)).reenable == (
        names(WEB) if changes else ()
    )


def test_what_is_not_started_or_was_not_there_is_not_enabled_anew() -> None:
    old = {NIGHTLY.name: ""}
    actions = decide((NIGHTLY, WEB), TEXTS, (), as_found(NIGHTLY, WEB, texts=old))
    assert (actions.write, actions.reenable) == (names(NIGHTLY, WEB), ())


def test_a_call_may_take_as_long_as_all_its_units_need_to_stop_and_the_gate_to_pass() -> None:
    assert call_limit((WEB, WORKER)) == START_MARGIN + 2
    assert call_limit((WEB, WORKER), 30) == START_MARGIN + 32


def test_a_rollback_to_what_still_runs_touches_nothing() -> None:
    there = as_found(SOCKET, WEB, untouched=frozenset(names(SOCKET, WEB)), reverting=True)
    assert decide((SOCKET, WEB), TEXTS, (), there) == NOTHING


def test_a_rollback_restarts_what_runs_behind_a_recreated_socket() -> None:
    """Systemd stops it with the socket, and nobody would start it again."""
    there = as_found(SOCKET, WEB, untouched=frozenset(names(SOCKET, WEB)), reverting=True)
    views = {**there.views, SOCKET.name: up(SOCKET, active="failed", sub="failed")}
    actions = decide((SOCKET, WEB), TEXTS, (), replace(there, views=views))
    assert actions.stop == names(WEB)
    assert (actions.start, actions.restart) == (names(SOCKET), (names(WEB),))


# --- overlapping --------------------------------------------------------------------------------


def serving(release: str, instance: str = "") -> Unit:
    return replace(WEB, name=f"a-web@{release}{instance}.service", handover=OVERLAP)


def shared(release: str) -> str:
    return f"[Socket]\nListenStream=8000\nService=a-web@{release}.service\n"


def overlapping(
    new: tuple[Unit, ...], old: tuple[Unit, ...], running: tuple[Unit, ...] | None = None
) -> Actions:
    """Decide on new units beside old ones, behind one socket that wakes the first of them."""
    texts = {unit.name: f"# {unit.name}" for unit in (*new, *old)}
    views = {unit.name: UnitView(unit.name) for unit in (*new, *old, SOCKET)}
    views |= {unit.name: up(unit) for unit in (SOCKET, *(old if running is None else running))}
    there = {unit.name: texts[unit.name] for unit in old} | {SOCKET.name: shared("r1")}
    untouched = frozenset({SOCKET.name})
    wanted = {**texts, SOCKET.name: shared("r2")}
    return decide((SOCKET, *new), wanted, names(*old), UnitState(there, views, untouched))


def test_a_successor_starts_before_its_predecessor_stops_and_the_socket_stays_open() -> None:
    new, old = serving("r2"), serving("r1")
    actions = overlapping((new,), (old,))
    assert actions.handovers == (Handover(new.name, (old.name,)),)
    assert actions.leaving == (old.name,)
    assert (actions.retire, actions.stop, actions.start, actions.restart) == ((), (), (), ())
    assert actions.remove == ()  # it still runs
    assert SOCKET.name in actions.write  # it wakes the successor from now on


def test_instances_are_replaced_one_at_a_time_and_the_last_one_replaces_what_is_left() -> None:
    new = (serving("r2", ".1"), serving("r2", ".2"))
    old = (serving("r1", ".1"), serving("r1", ".2"), serving("r1", ".3"))
    assert overlapping(new, old).handovers == (
        Handover(new[0].name, (old[0].name,)),
        Handover(new[1].name, (old[1].name, old[2].name)),
    )


def test_a_service_that_restarted_so_far_hands_over_to_one_that_overlaps() -> None:
    new = serving("r2")
    assert overlapping((new,), (WEB,)).handovers == (Handover(new.name, (WEB.name,)),)


def test_a_successor_of_what_does_not_run_replaces_nothing() -> None:
    new, old = serving("r2"), serving("r1")
    actions = overlapping((new,), (old,), running=())
    assert actions.handovers == (Handover(new.name, ()),)
    assert actions.remove == (old.name,)


def test_a_socket_that_changes_can_not_be_shared() -> None:
    new, old = serving("r2"), serving("r1")
    views = {SOCKET.name: up(SOCKET), new.name: UnitView(new.name), old.name: up(old)}
    there = {SOCKET.name: "[Socket]\nListenStream=1\n", old.name: ""}
    texts = {SOCKET.name: shared("r2"), new.name: ""}
    state = UnitState(there, views, frozenset({SOCKET.name}))
    actions = decide((SOCKET, new), texts, (old.name,), state)
    assert actions.handovers == ()
    assert actions.retire == (SOCKET.name, old.name)  # the old one must not wake it again
    assert actions.stop == (SOCKET.name,)
    assert actions.restart == ((new.name,),)


def test_a_service_behind_another_socket_is_handed_over_all_the_same() -> None:
    new, old = serving("r2"), serving("r1")
    workers = [replace(new, name=f"a-worker@{r}.service", service="worker") for r in ("r2", "r1")]
    views = {unit.name: UnitView(unit.name) for unit in (new, workers[0])}
    views |= {unit.name: up(unit) for unit in (SOCKET, old, workers[1])}
    there = {SOCKET.name: "[Socket]\nListenStream=1\n", old.name: "", workers[1].name: ""}
    texts = {SOCKET.name: shared("r2"), new.name: "", workers[0].name: ""}
    state = UnitState(there, views, frozenset({SOCKET.name}))
    actions = decide((SOCKET, new, workers[0]), texts, (old.name, workers[1].name), state)
    assert actions.handovers == (Handover(workers[0].name, (workers[1].name,)),)


def test_a_service_that_already_runs_and_must_change_is_restarted() -> None:
    unit = serving("r1")
    actions = overlapping((unit,), (unit,))
    assert (actions.handovers, actions.restart) == ((), ((unit.name,),))


def test_a_socket_that_stays_wakes_the_new_unit_before_the_old_one_stops() -> None:
    old = serving("r1")
    actions = overlapping((WEB,), (old,))
    assert (actions.reload_first, actions.retire) == (True, (old.name,))
    assert actions.restart == (names(WEB),)


def test_instances_that_restart_do_so_one_after_another() -> None:
    workers = tuple(replace(WORKER, name=f"a-worker@{n}.service") for n in (1, 2))
    views = {unit.name: up(unit) for unit in (WEB, *workers)}
    texts = {unit.name: "" for unit in (WEB, *workers)}
    actions = decide((WEB, *workers), texts, (), UnitState(texts, views, frozenset()))
    assert actions.restart == (names(WEB, workers[0]), names(workers[1]))


@pytest.mark.parametrize(
    "name", ["a-web.service", "a-web@1.0-x.service", "a-web@1.0-x.2.service", "a-web.socket"]
)
def test_the_units_of_a_service_in_all_releases_are_of_one_family(name: str) -> None:
    assert family(name) == "a-web"


def test_what_no_socket_wakes_is_stopped_before_its_directories_change_hands() -> None:
    views = {NIGHTLY.name: up(NIGHTLY, active="activating")}
    everything = as_found(SOCKET, WEB, WORKER, TIMER)
    at_work = replace(everything, views={**everything.views, **views})
    assert decide(ALL, TEXTS, (), at_work).quiet == ()
    changing = replace(at_work, hands_over=True)
    assert decide(ALL, TEXTS, (), changing).quiet == names(TIMER, WORKER, NIGHTLY)
    back = replace(changing, untouched=frozenset(names(WORKER)), reverting=True)
    assert decide(ALL, TEXTS, (), back).quiet == names(TIMER, NIGHTLY)

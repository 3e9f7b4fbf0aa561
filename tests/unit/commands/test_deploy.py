"""Several deployments of a playbook, a saved plan of them, and what a deploy overrides."""

from __future__ import annotations

import io
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from fake_fleet import NEW, Fleet, Liar
from recorded_runs import ended, redactor
from shipit.agent.protocol import messages
from shipit.agent.protocol.controls import Hold
from shipit.commands import deploy
from shipit.errors import InputError, Mistake
from shipit.events import DeploymentEnd, Event, Outcome, PlaybookEnded
from shipit.output.console import ConsoleOutput
from shipit.release import saved_plan
from shipit.release.build import BuiltRelease
from shipit.release.inputs import ResolvedInput, targets
from shipit.release.plan import Action, HostPlan
from shipit.rollout import executor
from shipit.transport import connect
from unit.rollout.test_lying_host import PLAYBOOK, impatient, run  # noqa: F401 - fixtures

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from shipit.agent.protocol.messages import Attempt
    from shipit.release.inputs import RunOptions


def of(*statuses: int | None) -> tuple[DeploymentEnd, ...]:
    return tuple(DeploymentEnd(app, it) for app, it in zip("abc", statuses, strict=True))


def ends(*statuses: int) -> tuple[int, list[Event]]:
    reported: list[Event] = []
    returning: list[Callable[[], int]] = [lambda it=it: it for it in statuses]  # type: ignore[misc]
    runs = [(app, act) for app, act in zip("abc", returning, strict=True)]
    return deploy.until_one_fails("deploy", runs, reported.append), reported


@pytest.mark.parametrize(
    ("statuses", "reported"),
    [
        ((0, 0, 0), PlaybookEnded("deploy", 0, of(0, 0, 0))),
        ((0, 4, 0), PlaybookEnded("deploy", 4, of(0, 4, None))),
        ((3, 0, 0), PlaybookEnded("deploy", 3, of(3, None, None))),
        ((0, 0, 130), PlaybookEnded("deploy", 130, of(0, 0, 130))),
    ],
)
def test_the_first_that_fails_is_the_last_that_is_begun(
    statuses: tuple[int, ...], reported: PlaybookEnded
) -> None:
    assert ends(*statuses) == (reported.exit_status, [reported])


@pytest.mark.parametrize(
    ("error", "status"), [(InputError(Mistake("x", "wrong")), 2), (KeyError("surprise"), 1)]
)
def test_an_error_is_reported_with_the_deployments_before_and_after(
    error: Exception, status: int
) -> None:
    def breaks() -> int:
        raise error

    reported: list[Event] = []
    runs = [("a", lambda: 0), ("b", breaks), ("c", lambda: 0)]
    with pytest.raises(type(error)):
        deploy.until_one_fails("deploy", runs, reported.append)
    assert reported == [PlaybookEnded("deploy", status, of(0, status, None))]


def test_of_a_single_deployment_the_end_of_its_run_says_all() -> None:
    reported: list[Event] = []
    assert deploy.until_one_fails("deploy", [("a", lambda: 3)], reported.append) == 3
    assert reported == []


def shown(*events: Event, error: InputError | None = None) -> list[str]:
    stream = io.StringIO()
    console = ConsoleOutput(stream, stream, verbosity=0, redactor=redactor())
    for event in events:
        console(event)
    if error:
        console.error(error)
    console.conclude(0)
    return stream.getvalue().splitlines()


def test_the_last_line_speaks_of_all_deployments() -> None:
    run_of_one = ended(0, {"web1": Outcome.COMMITTED})
    done = shown(run_of_one, PlaybookEnded("deploy", 0, of(0, 0, 0)))
    assert done[-1] == "all 3 deployments are done: a, b, c"
    stopped = shown(run_of_one, PlaybookEnded("deploy", 4, of(0, 4, None)))
    assert stopped[-1] == "1 of 3 deployments are done: a: ok; b: rolled back; c: not begun"


def test_a_mistake_that_breaks_off_does_not_say_that_nothing_was_changed() -> None:
    error = InputError(Mistake("wheel-missing", "no wheel of click fits"))
    reported = shown(PlaybookEnded("deploy", 2, of(0, 2, None)), error=error)
    assert reported[-2:] == [
        "1 mistake; nothing more was changed",
        "1 of 3 deployments are done: a: ok; b: input-error; c: not begun",
    ]
    assert shown(error=error)[-1] == "1 mistake; nothing was changed"


def test_a_rollback_of_a_playbook_reports_all_its_deployments(
    run: RunOptions,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are rolled back in reverse order; the first of the playbook is not begun."""
    second = PLAYBOOK.replace("app: demo", "app: other")
    run.playbook.write_text(
        "".join(f"- {'  '.join(text.splitlines(keepends=True))}" for text in (PLAYBOOK, second))
    )
    refuses = Liar(messages.Facts, lambda _: [messages.Failure("odd", "no", "hello")])
    monkeypatch.setattr(connect, "connect", Fleet({"web1": refuses}).connect)
    reported: list[Event] = []
    status = deploy.rollback(run, reported.append)
    assert reported[-1] == PlaybookEnded(
        "rollback", status, (DeploymentEnd("other", 3), DeploymentEnd("demo", None))
    )


AT = "2026-06-01T00:00:00Z"
OTHERS = """\
- hosts: web1
  app: demo
  wheel: dist/demo-1.1.0-py3-none-any.whl
  lock: requirements.lock
  wheelhouse: wheels/
  user: demo
  services:
    web: {command: demo}
  health: [{http: "http://127.0.0.1:8000/"}]
"""


def resolved(run: RunOptions) -> list[list[ResolvedInput]]:  # noqa: F811
    """Return what hosts should get, without wheels: they have no part in this."""
    return [
        [ResolvedInput(**vars(each), sources=None, secrets={}) for each in found]  # type: ignore[arg-type]
        for found in targets(run)
    ]


@pytest.fixture
def shipped(
    run: RunOptions,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> list[tuple[list[str], object]]:
    """Return the hosts and the plan of each deployment that is shipped."""
    run.playbook.write_text(OTHERS + OTHERS.replace("web1", "web2"))
    seen: list[tuple[list[str], object]] = []

    def wanted_by(run: RunOptions, _: object, check: Callable[[object], None]) -> object:
        check(targets(run))
        return resolved(run)

    def ship(wanted: list[ResolvedInput], *given: object, **_: object) -> int:
        seen.append(([each.name for each in wanted], given[2]))
        return 0

    monkeypatch.setattr(deploy, "wanted_by", wanted_by)
    monkeypatch.setattr(deploy, "ship", ship)
    return seen


def planned(folder: Path, *hosts: str) -> Path:
    plan = HostPlan("", Action.DEPLOY, "r2", "2")
    file = folder / "prod.plan"
    saved_plan.write(file, [("demo", [replace(plan, host=name)]) for name in hosts], AT)
    return file


def test_each_deployment_of_one_app_is_compared_with_its_own_plan(
    run: RunOptions,  # noqa: F811
    shipped: list[tuple[list[str], object]],
    tmp_path: Path,
) -> None:
    file = planned(tmp_path, "web1", "web2")
    assert deploy.deploy(run, lambda _: None, file) == 0
    first, second = saved_plan.read(file)
    assert shipped == [(["web1"], first.hosts), (["web2"], second.hosts)]


@pytest.mark.parametrize("hosts", [("web1",), ("web2", "web1"), ("web1", "web3")])
def test_a_plan_of_others_is_refused_before_the_first_deployment(
    hosts: tuple[str, ...],
    run: RunOptions,  # noqa: F811
    shipped: list[tuple[list[str], object]],
    tmp_path: Path,
) -> None:
    with pytest.raises(InputError, match="plan-of-others"):
        deploy.deploy(run, lambda _: None, planned(tmp_path, *hosts))
    assert shipped == []


def attempts(run: RunOptions, plan: HostPlan, monkeypatch: pytest.MonkeyPatch) -> set[Attempt]:  # noqa: F811
    """Return what hosts get to know of a deploy in which each has this plan."""
    seen: set[Attempt] = set()

    def drive(fleet: executor.Fleet, *_: object) -> None:
        seen.update(each._job.attempt for each in fleet.hosts.values())  # type: ignore[attr-defined]

    def wanted_by(run: RunOptions, _: object, check: Callable[[object], None]) -> object:
        check(targets(run))
        return resolved(run)

    def prepare(wanted: list[ResolvedInput], *_: object, **__: object) -> object:
        plans = {each.name: replace(plan, host=each.name) for each in wanted}
        return {name: (BuiltRelease(NEW, {}), it) for name, it in plans.items()}

    monkeypatch.setattr(connect, "connect", Fleet({}).connect)
    monkeypatch.setattr(executor, "drive", drive)
    monkeypatch.setattr(deploy, "wanted_by", wanted_by)
    monkeypatch.setattr(deploy, "prepare", prepare)
    deploy.deploy(run, lambda _: None)
    return seen


@pytest.mark.parametrize(
    ("is_held", "is_frozen", "recorded"),
    [(False, False, ()), (True, False, ("hold",)), (False, True, ("freeze",))],
)
def test_only_what_was_overridden_is_recorded(
    recorded: tuple[str, ...],
    run: RunOptions,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_held: bool,
    is_frozen: bool,
) -> None:
    window = '\nfreeze: [{when: "2020-01-01 00:00..2999-01-01 00:00", timezone: UTC}]\n'
    run.playbook.write_text(PLAYBOOK + (window if is_frozen else ""))
    overriding = replace(run, override_hold=True, override_freeze=True, reason="why")
    holds = (Hold("ann@laptop", AT, "moving"),) if is_held else ()
    plan = HostPlan("web1", Action.DEPLOY, NEW.id, "1.1.0", holds=holds)
    seen = attempts(overriding, plan, monkeypatch)
    assert {attempt.overrides for attempt in seen} == {recorded}


@pytest.mark.parametrize(("canary", "options"), [("", ()), ("\ncanary: 1\n", ("canary",))])
def test_a_canary_knows_from_the_beginning_that_it_is_one(
    canary: str,
    options: tuple[str, ...],
    run: RunOptions,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run.playbook.write_text(PLAYBOOK + canary)
    seen = attempts(run, HostPlan("web1", Action.DEPLOY, NEW.id, "1.1.0"), monkeypatch)
    assert {attempt.options for attempt in seen} == {options, ()}, "web2 is no canary"


@pytest.mark.parametrize(
    ("serial", "balancer", "batches"),
    [((1,), object(), (1,)), (("50%",), object(), ("50%",)), ((1,), None, ("100%",))],
)
def test_a_rollback_drains_by_batches_and_switches_at_once_without_a_load_balancer(
    serial: tuple[int | str, ...], balancer: object, batches: tuple[int | str, ...]
) -> None:
    deployment: Any = SimpleNamespace(serial=serial, load_balancer=balancer)
    assert deploy._rollback_policy(deployment).batches == batches

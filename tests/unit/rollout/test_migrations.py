"""What the hosts' records of migrations mean for a deploy, a plan and a rollback."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from shipit.agent.protocol.answers import ReleaseLine
from shipit.agent.protocol.messages import Findings
from shipit.agent.protocol.migrations import (
    AGAIN,
    APPLIED,
    BEGUN,
    KNOWN,
    PENDING_TIMEOUT,
    MigrationLine,
)
from shipit.events import Noted
from shipit.playbook.hooks.models import Migrate
from shipit.release.inputs import RunOptions
from shipit.release.plan import Action, HostPlan
from shipit.rollout import hooks, migrations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shipit.errors import HostError
    from shipit.events import Event

RUN = RunOptions(Path("prod.yaml"))
AGAIN_RUN = replace(RUN, migrate_again=True)
MIGRATE = Migrate(command="up", pending="up --plan", reversible=False)


class Connections:
    def __init__(self) -> None:
        self.lost: dict[str, HostError] = {}

    def lose(self, name: str, error: HostError, _running: str = "") -> None:
        self.lost[name] = error


def line(release: str, state: str, at: str = "2026-01-02", *, reversible: bool = False) -> Any:  # noqa: ANN401
    return MigrationLine(release, "2", state, reversible=reversible, at=at, who="me@laptop")


def made(**records: tuple[MigrationLine, ...]) -> Any:  # noqa: ANN401 - no release is built here
    actions = {"idle": Action.NOTHING}
    return {
        name: (None, HostPlan(name, actions.get(name, Action.DEPLOY), "r2", "2", migrated=lines))
        for name, lines in records.items()
    }


def order(migrate: Migrate | None = MIGRATE) -> Any:  # noqa: ANN401
    others = dict.fromkeys(("load_balancer", "canary", "assets"))
    deployment = SimpleNamespace(hooks=(), migrate=migrate, user="demo", **others)
    return [SimpleNamespace(name=name, deployment=deployment) for name in ("a", "b", "idle")]


def test_an_unfinished_one_of_any_host_stops_all_that_change() -> None:
    connections: Any = Connections()
    fleet = made(a=(), b=(line("r1", BEGUN),), idle=())
    assert list(migrations.refuse(fleet, connections, {}, RUN)) == ["idle"]
    assert set(connections.lost) == {"a", "b"}
    error = connections.lost["a"]
    assert (error.code, error.step) == ("migration-unfinished", "migrate")
    assert "r1, begun 2026-01-02 by me@laptop, has not ended on b" in error.what


@pytest.mark.parametrize("again", [False, True])
def test_one_that_runs_now_is_waited_for_and_never_run_beside(*, again: bool) -> None:
    connections: Any = Connections()
    now = replace(line("r1", BEGUN), txn="t1")
    fleet = {
        name: (None, replace(plan, running="t1"))
        for name, (_, plan) in made(a=(now,), b=()).items()
    }
    assert migrations.refuse(fleet, connections, {}, replace(RUN, migrate_again=again)) == {}  # type: ignore[arg-type]
    error = connections.lost["a"]
    assert (error.code, "is still running on a" in error.what) == ("locked", True)
    assert "--migrate-again" not in error.hint


def test_an_operator_may_deploy_in_spite_of_it() -> None:
    connections: Any = Connections()
    fleet = made(a=(line("r1", BEGUN),))
    assert migrations.refuse(fleet, connections, {}, AGAIN_RUN) == fleet
    assert migrations.options(fleet, {}, again=True) == (AGAIN,)
    assert not connections.lost


def test_the_elected_host_learns_that_another_has_applied_it() -> None:
    fleet = made(a=(), b=(line("r2", APPLIED),))
    assert migrations.options(fleet, {}, again=False) == (KNOWN,)
    assert migrations.options(made(a=(), b=(line("r1", APPLIED),)), {}, again=False) == ()


def test_the_records_of_hosts_that_are_left_out_count_as_well() -> None:
    fleet, connections = made(a=(), idle=()), cast("Any", Connections())
    others = {"z": HostPlan("z", Action.NOTHING, "", "", migrated=(line("r2", APPLIED),))}
    assert migrations.options(fleet, others, again=False) == (KNOWN,)
    done = migrations.planned(fleet, order(), "a", others)
    assert done["a"][1].migration[0].startswith("nothing: z has applied the migration")
    others = {"z": replace(others["z"], migrated=(line("r2", BEGUN),))}
    assert list(migrations.refuse(fleet, connections, others, RUN)) == ["idle"]
    assert "has not ended on z" in connections.lost["a"].what
    plans = {name: plan for name, (_, plan) in fleet.items()}
    explained = migrations.explained(plans, others, None, None, RUN)
    assert {name: len(plan.problems) for name, plan in explained.items()} == {"a": 1, "idle": 0}


def test_it_is_said_which_hosts_that_limit_leaves_out_are_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    everyone = order()
    events: list[Event] = []
    for target in everyone:
        target.deployment.app = "demo"
    note = Noted("asks b, idle about migrations; changes nothing")

    @contextmanager
    def connect_all(*_: object) -> Iterator[Any]:
        assert events == [note], "before it connects"
        yield SimpleNamespace(problems=dict)

    monkeypatch.setattr(migrations, "targets", lambda _: [everyone])
    monkeypatch.setattr(migrations, "connect_all", connect_all)
    monkeypatch.setattr(migrations, "ask", lambda *_, **__: {})
    migrations.left_out(everyone[:1], replace(RUN, limit="a"), events.append)
    assert events == [note]


def test_a_migration_makes_the_first_host_that_changes_go_first_and_alone() -> None:
    (first, *_) = order()
    assert hooks.elected(made(idle=(), a=(), b=()), order()) == "a"
    assert hooks.elected(made(a=()), order(None)) == ""
    assert hooks.first_alone(first.deployment)
    assert not hooks.first_alone(order(None)[0].deployment)
    assert hooks.longest(first.deployment) == 3600.0 + PENDING_TIMEOUT


def test_a_plan_says_what_is_migrated_where() -> None:
    fleet = migrations.planned(made(a=(), idle=()), order(), "a", {})
    assert fleet["idle"][1].migration == ()
    assert fleet["a"][1].migration == (
        "up (once, on a as demo, before the first switch)",
        "IRREVERSIBLE: a rollback past this release will be refused",
    )
    done = migrations.planned(made(a=(), b=(line("r2", APPLIED),)), order(), "a", {})
    assert done["a"][1].migration[0].startswith("nothing: b has applied the migration")
    assert migrations.planned(made(a=()), order(None), "", {})["a"][1].migration == ()


@pytest.mark.parametrize(
    ("said", "lines"),
    [
        (None, ["pending: unknown until the release is on the host; the deploy shows it first"]),
        ("one\ntwo\n", ["pending: one", "pending: two"]),
        ("", ["pending: (no output)"]),
    ],
)
def test_a_plan_shows_what_is_pending_or_says_that_it_is_unknown(
    said: str | None, lines: list[str]
) -> None:
    plans = {"a": HostPlan("a", Action.DEPLOY, "r2", "2", migration=("up",))}
    found = migrations.explained(plans, {}, MIGRATE, Findings((), said), RUN)
    assert list(found["a"].migration) == ["up", *lines]
    assert found["a"].problems == ()


def test_a_plan_shows_what_would_stop_the_deploy() -> None:
    plans = {name: plan for name, (_, plan) in made(a=(line("r1", BEGUN),), b=(), idle=()).items()}
    found = migrations.explained(plans, {}, None, None, RUN)
    assert [plan.problems[0].code for plan in (found["a"], found["b"])] == [
        "migration-unfinished"
    ] * 2
    assert found["b"].problems[0].host == "b"
    assert found["idle"].problems == ()
    assert migrations.explained(plans, {}, None, None, AGAIN_RUN) == plans
    now = {"a": replace(plans["a"], migrated=(replace(line("r1", BEGUN), txn="t1"),), running="t1")}
    found = migrations.explained(now, {}, None, None, AGAIN_RUN)
    assert [each.code for each in found["a"].problems] == ["locked"]


def test_an_older_version_past_an_irreversible_one_is_refused_unless_forced() -> None:
    newer = replace(line("r3", APPLIED), version="3")
    fleet, connections = made(a=(newer,), b=(), idle=()), cast("Any", Connections())
    assert list(migrations.refuse(fleet, connections, {}, RUN)) == ["idle"]
    error = connections.lost["b"]
    assert (error.code, error.host) == ("migration-irreversible", "b")
    assert "r3 (migrated 2026-01-02)" in error.what
    assert "--force-past-migration" in error.hint
    forced = replace(RUN, force_past_migration=True)
    assert migrations.refuse(fleet, connections, {}, forced) == fleet
    for version in ("2", "1.9"):  # the same or an older version: this one is not past it
        fleet = made(a=(replace(newer, version=version),))
        assert migrations.past_by_older(migrations.plans(fleet)) == ""
    reversible = replace(newer, reversible=True)
    assert migrations.past_by_older(migrations.plans(made(a=(reversible,)))) == ""


def release(name: str, at: str, *, running: bool = False) -> ReleaseLine:
    return ReleaseLine(name, "1", "committed", at, "me", present=True, running=running)


def test_a_rollback_names_the_irreversible_ones_that_it_would_pass() -> None:
    facts: Any = SimpleNamespace(migrations=(line("r2", APPLIED),))
    answers = {"a": facts}
    assert (
        migrations.past({"a": release("r1", "2026-01-01")}, answers) == "r2 (migrated 2026-01-02)"
    )
    assert migrations.past({"a": release("r1", "2026-01-03")}, answers) == ""
    assert migrations.past({"a": release("r2", "2026-01-01")}, answers) == ""
    assert migrations.past({"a": release("r1", "2026-01-01", running=True)}, answers) == ""
    error = migrations.refused_past("a", "r2")
    assert (error.code, error.host) == ("migration-irreversible", "a")

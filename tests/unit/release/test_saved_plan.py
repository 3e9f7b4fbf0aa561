"""A plan in a file: it is read as written, says what has changed since, and has no secret."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from shipit.agent.protocol.answers import Drift
from shipit.errors import InputError
from shipit.output import reports
from shipit.release import saved_plan
from shipit.release.plan import Action, EnvChange, HostPlan, PackageChange, TextChange
from shipit.release.saved_plan import Deployment

if TYPE_CHECKING:
    from pathlib import Path

NOW = "2026-06-01T00:00:00+00:00"
PLAN = HostPlan(
    "web1",
    Action.DEPLOY,
    "2.0.0-bbbbbbbb",
    "2.0.0",
    current="1.0.0-aaaaaaaa",
    current_version="1.0.0",
    packages=(PackageChange("demo", "1.0.0", "2.0.0"),),
    texts=(TextChange("units/demo-web.service", "changed", "-Environment=TOKEN=hunter2"),),
    env=(EnvChange("web", "TOKEN", "changed"),),
    restarts=("demo-web.service",),
    missing=("demo.whl",),
    missing_bytes=7,
    notes=("hunter2",),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "prod.plan"


def test_a_plan_is_read_as_it_was_written(path: Path) -> None:
    saved_plan.write(path, [("demo", (PLAN, replace(PLAN, host="web2")))], NOW)
    [(app, hosts)] = saved_plan.read(path)
    assert (app, list(hosts)) == ("demo", ["web1", "web2"])
    assert list(saved_plan.differences(hosts["web1"], PLAN)) == []
    assert "hunter2" not in path.read_text()
    assert [each.name for each in path.parent.iterdir()] == ["prod.plan"]


def test_two_deployments_of_one_app_are_kept_apart(path: Path) -> None:
    later = replace(PLAN, host="web2", release="3.0.0-cccccccc")
    saved_plan.write(path, [("demo", (PLAN,)), ("demo", (later,))], NOW)
    first, second = saved = saved_plan.read(path)
    assert (list(first.hosts), list(second.hosts)) == (["web1"], ["web2"])
    assert list(saved_plan.differences(second.hosts["web2"], later)) == []
    saved_plan.refuse_others(saved, [("demo", ["web1"]), ("demo", ["web2"])])


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ([("a", ["web1", "web2"])], "the plan is for the deployments a, b; this run has a"),
        ([("b", ["db1"]), ("a", ["web1", "web2"])], "deployments a, b; this run has b, a"),
        ([], "the plan is for the deployments a, b; this run has none"),
        ([("a", ["web1"]), ("b", ["db1"])], "for web2 as well, which this run leaves out"),
        ([("a", ["web2", "web1"]), ("b", ["db1", "db2"])], "this run is for db2 as well, which"),
        ([("a", ["web1", "x"]), ("b", ["db1"])], "a: the plan is for web2 as well"),
        ([("a", ["web1", "x"]), ("b", ["db1"])], "a: this run is for x as well"),
        ([("a", ["web1", "x"]), ("b", ["y", "db1"])], "b: this run is for y as well"),
        ([("a", ["db1"]), ("b", ["web1", "web2"])], "b: the plan is for db1 as well"),
    ],
)
def test_a_run_of_others_than_the_plan_is_refused(
    run: list[tuple[str, list[str]]], said: str
) -> None:
    saved = (Deployment("a", {"web1": {}, "web2": {}}), Deployment("b", {"db1": {}}))
    with pytest.raises(InputError) as caught:
        saved_plan.refuse_others(saved, run)
    assert {mistake.code for mistake in caught.value.mistakes} == {"plan-of-others"}
    assert said in str(caught.value)


def test_what_does_not_matter_is_no_difference() -> None:
    later = replace(PLAN, missing=(), missing_bytes=0, notes=("a note",), host="other")
    assert list(saved_plan.differences(saved_plan.data(PLAN), later)) == []


def test_what_an_earlier_version_did_not_save_is_no_difference_where_there_is_none() -> None:
    saved = {key: value for key, value in saved_plan.data(PLAN).items() if key != "drains"}
    assert list(saved_plan.differences(saved, PLAN)) == []
    assert list(saved_plan.differences(saved, replace(PLAN, drains=("x",))))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"current": "1.1.0-cccccccc"}, "runs 1.1.0-cccccccc now; it ran 1.0.0-aaaaaaaa"),
        ({"current": ""}, "runs nothing now; it ran 1.0.0-aaaaaaaa"),
        ({"release": "2.0.0-dddddddd"}, "would get 2.0.0-dddddddd; the plan has 2.0.0-bbbbbbbb"),
        ({"action": Action.NOTHING}, "would be changed by nothing; the plan has deploy"),
        ({"packages": ()}, "would get other packages: none; the plan has demo 1.0.0 -> 2.0.0"),
        ({"texts": ()}, "other units or files: none; the plan has changed units/demo-web.service"),
        ({"env": ()}, "would get other variables: none; the plan has changed web: TOKEN"),
        ({"restarts": ()}, "would restart none; the plan has demo-web.service"),
        ({"hooks": ("once",)}, "would run other hooks: once; the plan has none"),
        ({"migration": ("up", "pending: x")}, "would migrate: up; the plan has none"),
        ({"drains": ("x",)}, "would leave another load balancer: x; the plan has none"),
        ({"handovers": ("x",)}, "would hand over x; the plan has none"),
        (
            {"repairs": (Drift("file-changed", "/x", "/x was changed"),)},
            "has other drift: /x was changed; the plan has none",
        ),
    ],
)
def test_each_difference_is_named(changes: dict[str, object], said: str) -> None:
    now = replace(PLAN, **changes)  # type: ignore[arg-type]
    (found,) = saved_plan.differences(saved_plan.data(PLAN), now)
    assert said in found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hunter2",
        "[]",
        "{}",
        '{"format": 2}',
        '{"format": 1, "apps": {}}',
        '{"format": 3, "deployments": []}',
        '{"format": 2, "deployments": {}}',
        '{"format": 2, "deployments": ["demo"]}',
        '{"format": 2, "deployments": [{"app": "demo"}]}',
        '{"format": 2, "deployments": [{"app": 1, "hosts": {}}]}',
        '{"format": 2, "deployments": [{"app": "demo", "hosts": []}]}',
        '{"format": 2, "deployments": [{"app": "demo", "hosts": {"web1": 1}}]}',
        "[" * 100_000,
        "\udcff",
    ],
)
def test_what_is_no_plan_is_refused(text: str, path: Path) -> None:
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError) as caught:
        saved_plan.read(path)
    (mistake,) = caught.value.mistakes
    assert mistake.code == "plan-unreadable"
    assert "hunter2" not in str(mistake)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        saved_plan.read(tmp_path / "x")
    with pytest.raises(InputError, match="cannot be written"):
        saved_plan.write(tmp_path / "no" / "x", [], NOW)


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_plan_that_cannot_be_written_leaves_the_one_before_and_nothing_else(
    fails: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    saved_plan.write(path, [("demo", (PLAN,))], NOW)
    before = path.read_text()
    monkeypatch.setattr(os, fails, full)
    with pytest.raises(InputError, match="cannot be written: No space left on device"):
        saved_plan.write(path, [("demo", ())], NOW)
    assert [each.name for each in path.parent.iterdir()] == ["prod.plan"]
    assert path.read_text() == before


def test_a_plan_with_strange_fields_differs(path: Path) -> None:
    deployment = {"app": "demo", "hosts": {"web1": {"current": [1, None]}}}
    path.write_text(json.dumps({"format": 2, "deployments": [deployment]}))
    [(_, hosts)] = saved_plan.read(path)
    found = list(saved_plan.differences(hosts["web1"], PLAN))
    assert found[0] == "runs 1.0.0-aaaaaaaa now; it ran 1, None"


@pytest.mark.parametrize(
    ("actions", "detailed", "status"),
    [
        ((Action.NOTHING, Action.NOTHING), True, 0),
        ((Action.NOTHING, Action.SWITCH), True, 6),
        ((Action.DEPLOY,), True, 6),
        ((Action.DEPLOY,), False, 0),
    ],
)
def test_the_exit_status_of_a_plan(
    actions: tuple[Action, ...], status: int, *, detailed: bool
) -> None:
    plans = [replace(PLAN, action=action) for action in actions]
    assert reports.plan_status([("demo", plans)], detailed=detailed) == status

"""A plan in a file: it is read as written, says what has changed since, and has no secret."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from shipit.agent.protocol.answers import Drift
from shipit.errors import InputError
from shipit.output import reports
from shipit.release import saved_plan
from shipit.release.plan import Action, EnvChange, HostPlan, PackageChange, TextChange

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
    saved = saved_plan.read(path)
    assert list(saved["demo"]) == ["web1", "web2"]
    assert list(saved_plan.differences(saved["demo"]["web1"], PLAN)) == []
    assert "hunter2" not in path.read_text()
    assert [each.name for each in path.parent.iterdir()] == ["prod.plan"]


def test_what_does_not_matter_is_no_difference() -> None:
    later = replace(PLAN, missing=(), missing_bytes=0, notes=("a note",), host="other")
    assert list(saved_plan.differences(saved_plan.data(PLAN), later)) == []


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


def test_hosts_of_one_side_are_named() -> None:
    assert list(saved_plan.differences(None, PLAN)) == ["is not in the plan"]
    assert saved_plan.missing({"web1": {}, "web2": {}}, ["web1", "web3"]) == ["web2"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hunter2",
        "[]",
        "{}",
        '{"format": 1}',
        '{"format": 2, "apps": {}}',
        '{"format": 1, "apps": []}',
        '{"format": 1, "apps": {"demo": []}}',
        '{"format": 1, "apps": {"demo": {"web1": 1}}}',
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


def test_a_plan_with_strange_fields_differs(path: Path) -> None:
    path.write_text(json.dumps({"format": 1, "apps": {"demo": {"web1": {"current": [1, None]}}}}))
    found = list(saved_plan.differences(saved_plan.read(path)["demo"]["web1"], PLAN))
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

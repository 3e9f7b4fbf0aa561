"""What each step of a rehearsal changes, and when it counts as failed."""

from typing import Any

import pytest

from shipit.errors import InputError
from shipit.rehearsal import scenario
from shipit.rehearsal.scenario import (
    FAILING,
    FAULTS,
    STEPS,
    VARIABLE,
    Fault,
    Observation,
    Runs,
    Step,
)

FIRST, SPOT = "1.0.0-aaaaaaaa", ("app", "web1")
CHECK = {"http": "http://127.0.0.1:8000/"}


def step(runs: Runs, ends: int = 0) -> Step:
    return Step("try", scenario.as_written, (ends,), runs)


def wrong(runs: Runs, release: str, *, ends: int = 0, problems: tuple[str, ...] = ()) -> str:
    observations = {SPOT: Observation(release, wrong=problems)}
    return "; ".join(scenario.wrong_with(step(runs), [ends], observations, {SPOT: FIRST}))


@pytest.mark.parametrize(
    ("health", "own"),
    [
        ([CHECK], [CHECK]),
        ({"checks": [CHECK], "interval": "1s", "deadline": "10m"}, [CHECK]),
        ({"min_healthy": "20s"}, []),
        ("{{ checks }}", []),
        (None, []),
    ],
)
def test_a_failing_gate_keeps_the_checks_and_shortens_the_deadline(
    health: object, own: list[object]
) -> None:
    made: dict[str, Any] = dict(scenario.with_a_gate_that_fails({"health": health}))["health"]  # type: ignore[assignment]
    assert made["checks"] == [*own, {"command": FAILING}]
    assert (made["deadline"], made["min_healthy"]) == ("5s", "1s")


def test_the_rest_of_a_deployment_is_unchanged() -> None:
    values = {"app": "x", "health": [CHECK], "env": {"A": "1"}}
    assert {**scenario.with_a_gate_that_fails(values), "health": [CHECK]} == values
    assert scenario.as_written(values) == values
    assert values["health"] == [CHECK]


@pytest.mark.parametrize(
    ("values", "changed"),
    [
        ({}, {"env": {VARIABLE: "1"}}),
        ({"env": {"A": "2"}}, {"env": {"A": "2", VARIABLE: "1"}}),
        (
            {"env": "{{ env }}", "services": {"web": {"command": "x"}, "worker": {}}},
            {
                "env": "{{ env }}",
                "services": {"web": {"command": "x", "env": {VARIABLE: "1"}}, "worker": {}},
            },
        ),
    ],
)
def test_a_variable_is_added_where_env_is_a_mapping(
    values: dict[str, object], changed: dict[str, object]
) -> None:
    assert scenario.with_one_more_variable(values) == changed


def test_a_deployment_whose_env_is_a_template_is_refused() -> None:
    with pytest.raises(InputError, match="rehearsal-env"):
        scenario.with_one_more_variable({"env": "{{ env }}", "services": "{{ services }}"})


def test_a_step_that_ends_as_expected_has_no_problems() -> None:
    assert wrong(Runs.ANY, FIRST) == ""
    assert wrong(Runs.FIRST, FIRST) == ""
    assert wrong(Runs.OTHER, "1.0.0-bbbbbbbb") == ""


def test_another_exit_status_is_wrong() -> None:
    message = wrong(Runs.ANY, FIRST, ends=4)
    assert message == "it ended with exit status 4; expected 0"


def test_another_release_is_wrong() -> None:
    assert f"expected the release of the first step ({FIRST})" in wrong(Runs.FIRST, "2-b")
    assert "expected another release" in wrong(Runs.OTHER, FIRST)


def test_a_host_that_runs_nothing_is_wrong() -> None:
    assert wrong(Runs.ANY, "") == "web1: nothing of app runs; expected any release"


def test_a_problem_on_a_host_is_reported_with_its_name() -> None:
    assert wrong(Runs.ANY, FIRST, problems=("no answer",)) == "web1: no answer"


def test_only_the_step_with_a_failing_gate_may_fail() -> None:
    assert [(each.ends, each.runs) for each in STEPS] == [
        ((0,), Runs.ANY),
        ((4, 3), Runs.FIRST),
        ((0,), Runs.OTHER),
        ((0,), Runs.FIRST),
    ]


def test_every_fault_has_a_step_that_ends_with_the_first_release() -> None:
    assert [each.fault for each in FAULTS] == list(Fault)
    assert {each.runs for each in FAULTS} == {Runs.FIRST}


def test_only_the_exit_statuses_of_a_fault_are_accepted() -> None:
    ends = {each.fault: each.ends for each in FAULTS}
    assert ends.pop(Fault.CONTROLLER) == (-9,)
    assert set(ends.values()) == {(4, 5)}
    (message,) = scenario.wrong_with(FAULTS[0], [1], {}, {})
    assert message == "it ended with exit status 1; expected -9 (killed)"
    (message,) = scenario.wrong_with(FAULTS[1], [-9], {}, {})
    assert message == "it ended with exit status -9 (killed); expected 4 or 5"


@pytest.mark.parametrize(
    ("health", "deadline"),
    [
        ([CHECK], "1m"),
        ({"checks": [CHECK], "deadline": "5s"}, "30s"),
        ({"checks": [CHECK], "deadline": "5m"}, "5m"),
        ({"checks": [CHECK], "deadline": "{{ patience }}"}, scenario.PATIENT),
    ],
)
def test_a_long_gate_cannot_pass_and_outlasts_its_lease(health: object, deadline: str) -> None:
    made: dict[str, Any] = dict(
        scenario.with_a_gate_that_lasts({"health": health, "confirm": "host"})
    )
    assert made["health"]["checks"] == [CHECK, {"command": FAILING}]
    assert made["health"]["deadline"] == deadline
    assert (made["confirm"], made["confirm_timeout"]) == ("controller", scenario.LEASE)

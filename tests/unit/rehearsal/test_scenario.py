"""What the acts of a rehearsal change, and when one counts as gone wrong."""

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


def act(runs: Runs, ends: int = 0) -> Step:
    return Step("try", scenario.as_written, (ends,), runs)


def wrong(runs: Runs, release: str, *, ends: int = 0, problems: tuple[str, ...] = ()) -> str:
    sights = {SPOT: Observation(release, wrong=problems)}
    return "; ".join(scenario.wrong_with(act(runs), [ends], sights, {SPOT: FIRST}))


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
def test_a_gate_that_fails_keeps_the_checks_and_loses_its_patience(
    health: object, own: list[object]
) -> None:
    made: dict[str, Any] = dict(scenario.with_a_gate_that_fails({"health": health}))["health"]  # type: ignore[assignment]
    assert made["checks"] == [*own, {"command": FAILING}]
    assert (made["deadline"], made["min_healthy"]) == ("5s", "1s")


def test_the_rest_of_a_deployment_stays_as_it_is() -> None:
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
def test_a_variable_is_added_where_there_is_a_place(
    values: dict[str, object], changed: dict[str, object]
) -> None:
    assert scenario.with_one_more_variable(values) == changed


def test_a_deployment_of_templates_alone_is_refused() -> None:
    with pytest.raises(InputError, match="rehearsal-env"):
        scenario.with_one_more_variable({"env": "{{ env }}", "services": "{{ services }}"})


def test_an_act_that_ends_as_it_has_to_has_nothing_wrong() -> None:
    assert wrong(Runs.ANY, FIRST) == ""
    assert wrong(Runs.FIRST, FIRST) == ""
    assert wrong(Runs.OTHER, "1.0.0-bbbbbbbb") == ""


def test_another_exit_status_is_wrong() -> None:
    said = wrong(Runs.ANY, FIRST, ends=4)
    assert said == "it ended with exit status 4, and 0 was expected"


def test_another_release_is_wrong() -> None:
    assert f"expected the release of the first act ({FIRST})" in wrong(Runs.FIRST, "2-b")
    assert "expected another release" in wrong(Runs.OTHER, FIRST)


def test_a_host_that_runs_nothing_is_wrong() -> None:
    assert wrong(Runs.ANY, "") == "web1: nothing of app runs; expected any release"


def test_what_was_seen_on_a_host_is_told_with_its_name() -> None:
    assert wrong(Runs.ANY, FIRST, problems=("no answer",)) == "web1: no answer"


def test_only_the_act_whose_gate_fails_may_end_badly() -> None:
    assert [(each.ends, each.runs) for each in STEPS] == [
        ((0,), Runs.ANY),
        ((4, 3), Runs.FIRST),
        ((0,), Runs.OTHER),
        ((0,), Runs.FIRST),
    ]


def test_every_fault_has_its_act_which_ends_with_the_first_release() -> None:
    assert [each.fault for each in FAULTS] == list(Fault)
    assert {each.runs for each in FAULTS} == {Runs.FIRST}


def test_a_controller_is_killed_or_understands_it_and_a_bug_of_its_own_is_wrong() -> None:
    ends = {each.fault: each.ends for each in FAULTS}
    assert ends.pop(Fault.CONTROLLER) == (-9,)
    assert set(ends.values()) == {(4, 5)}
    (said,) = scenario.wrong_with(FAULTS[0], [1], {}, {})
    assert said == "it ended with exit status 1, and -9 (killed) was expected"
    (said,) = scenario.wrong_with(FAULTS[1], [-9], {}, {})
    assert said == "it ended with exit status -9 (killed), and 4 or 5 was expected"


@pytest.mark.parametrize(
    ("health", "deadline"),
    [
        ([CHECK], "1m"),
        ({"checks": [CHECK], "deadline": "5s"}, "30s"),
        ({"checks": [CHECK], "deadline": "5m"}, "5m"),
        ({"checks": [CHECK], "deadline": "{{ patience }}"}, scenario.PATIENT),
    ],
)
def test_a_gate_that_lasts_can_t_pass_and_ends_long_after_its_lease(
    health: object, deadline: str
) -> None:
    made: dict[str, Any] = dict(
        scenario.with_a_gate_that_lasts({"health": health, "confirm": "host"})
    )
    assert made["health"]["checks"] == [CHECK, {"command": FAILING}]
    assert made["health"]["deadline"] == deadline
    assert (made["confirm"], made["confirm_timeout"]) == ("controller", scenario.LEASE)

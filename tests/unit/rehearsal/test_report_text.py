"""The report of a rehearsal as text."""

from shipit.rehearsal import report_text
from shipit.rehearsal.hosts import Assignment
from shipit.rehearsal.providers import nspawn, vagrant
from shipit.rehearsal.report_text import RehearsalReport
from shipit.rehearsal.scenario import FAULTS, STEPS, Observation, Served, StepResult

ASSIGNMENT = Assignment({"web1": "web1", "web2": "web2"}, ("web3",))
GOOD = {("app", "web1"): Observation("1.0.0-a", 1), ("app", "web2"): Observation("1.0.0-a", 1)}
NONE = {("app", "web1"): Observation("1.0.0-a", 0), ("app", "web2"): Observation("")}


def lines(results: list[StepResult]) -> list[str]:
    return report_text.report(
        RehearsalReport("p.yaml", nspawn.PROVIDER, ASSIGNMENT, results)
    ).splitlines()


def test_a_good_rehearsal() -> None:
    results = [StepResult(step, 1.5 * number, (), GOOD) for number, step in enumerate(STEPS, 1)]
    seen = "      runs 1.0.0-a on web1, web2; 1 health check of each asked from outside"
    assert lines(results)[:-2] == [
        "rehearsal of p.yaml on 2 machines (systemd-nspawn, Debian 12): web1, web2",
        "left out to limit the number of machines: web3",
        "",
        "  deploy the release                      1.5s  as expected",
        seen,
        "  deploy a release whose gate fails       3.0s  as expected",
        seen,
        "  deploy another good release             4.5s  as expected",
        seen,
        "  roll back                               6.0s  as expected",
        seen,
    ]


def test_problems_and_steps_that_did_not_run_are_listed() -> None:
    results = [StepResult(STEPS[0], 61.0, ("web2: nothing of app runs",), NONE)]
    assert lines(results)[3:10] == [
        "  deploy the release                     1m01s  NOT AS EXPECTED",
        "      runs 1.0.0-a on web1",
        "      runs nothing on web2",
        "      web2: nothing of app runs",
        "  deploy a release whose gate fails             not run",
        "  deploy another good release                   not run",
        "  roll back                                     not run",
    ]


def test_the_interrupted_step_is_named() -> None:
    results = [StepResult(STEPS[0], 1.0, (), GOOD)]
    rehearsal = RehearsalReport("p.yaml", nspawn.PROVIDER, ASSIGNMENT, results, is_interrupted=True)
    assert not rehearsal.is_good
    assert report_text.report(rehearsal).splitlines()[5:8] == [
        "  deploy a release whose gate fails             interrupted",
        "  deploy another good release                   not run",
        "  roll back                                     not run",
    ]


def test_a_fault_is_reported_with_the_time_until_it_was_settled() -> None:
    results = [StepResult(FAULTS[0], 7.0, (), GOOD, settled=5.5)]
    rehearsal = RehearsalReport("p.yaml", nspawn.PROVIDER, ASSIGNMENT, results, FAULTS[:2])
    assert report_text.report(rehearsal).splitlines()[3:7] == [
        "  in the gate the controller is killed    7.0s  as expected",
        "      settled 5.5s after the fault, by itself",
        "      runs 1.0.0-a on web1, web2; 1 health check of each asked from outside",
        "  in the gate a host's agent is killed          not run",
    ]


def test_requests_of_all_clients_are_summed_up() -> None:
    served = {("app", "web1"): Served(90, 0, 0.2), ("app", "web2"): Served(10, 3, 1.26)}
    (line,) = [
        text
        for text in lines([StepResult(STEPS[1], 9.0, (), GOOD, None, served)])
        if "drop" in text
    ]
    assert line == "      100 requests meanwhile, 3 dropped; the slowest took 1.3s"


def test_steps_that_a_provider_does_not_support_are_listed() -> None:
    cable = tuple(step for step in FAULTS if step.fault in vagrant.PROVIDER.unsupported)
    text = report_text.report(
        RehearsalReport("p.yaml", vagrant.PROVIDER, ASSIGNMENT, (), (), cable)
    )
    assert "not supported by Vagrant: in the gate a host's cable is cut\n" in text

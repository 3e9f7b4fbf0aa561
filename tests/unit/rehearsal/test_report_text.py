"""The report of a rehearsal, word for word."""

from shipit.rehearsal import report_text
from shipit.rehearsal.hosts import Assignment
from shipit.rehearsal.providers import nspawn, vagrant
from shipit.rehearsal.report_text import RehearsalReport
from shipit.rehearsal.scenario import FAULTS, STEPS, Observation, Served, StepResult

CAST = Assignment({"web1": "web1", "web2": "web2"}, ("web3",))
GOOD = {("app", "web1"): Observation("1.0.0-a", 1), ("app", "web2"): Observation("1.0.0-a", 1)}
NONE = {("app", "web1"): Observation("1.0.0-a", 0), ("app", "web2"): Observation("")}


def lines(scenes: list[StepResult]) -> list[str]:
    return report_text.report(RehearsalReport("p.yaml", nspawn.PROVIDER, CAST, scenes)).splitlines()


def test_a_good_rehearsal_reads_so() -> None:
    scenes = [StepResult(act, 1.5 * number, (), GOOD) for number, act in enumerate(STEPS, 1)]
    seen = "      runs 1.0.0-a on web1, web2; 1 health check of each asked from outside"
    assert lines(scenes)[:-2] == [
        "rehearsal of p.yaml on 2 machines (systemd-nspawn, Debian 12): web1, web2",
        "left out, to boot no more machines: web3",
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


def test_what_went_wrong_is_told_and_what_was_not_played() -> None:
    scenes = [StepResult(STEPS[0], 61.0, ("web2: nothing of app runs",), NONE)]
    assert lines(scenes)[3:10] == [
        "  deploy the release                     1m01s  NOT AS EXPECTED",
        "      runs 1.0.0-a on web1",
        "      runs nothing on web2",
        "      web2: nothing of app runs",
        "  deploy a release whose gate fails             not played",
        "  deploy another good release                   not played",
        "  roll back                                     not played",
    ]


def test_the_act_that_was_interrupted_is_named() -> None:
    scenes = [StepResult(STEPS[0], 1.0, (), GOOD)]
    played = RehearsalReport("p.yaml", nspawn.PROVIDER, CAST, scenes, is_interrupted=True)
    assert not played.is_good
    assert report_text.report(played).splitlines()[5:8] == [
        "  deploy a release whose gate fails             interrupted",
        "  deploy another good release                   not played",
        "  roll back                                     not played",
    ]


def test_a_fault_is_told_with_the_time_until_it_was_settled() -> None:
    scenes = [StepResult(FAULTS[0], 7.0, (), GOOD, settled=5.5)]
    played = RehearsalReport("p.yaml", nspawn.PROVIDER, CAST, scenes, FAULTS[:2])
    assert report_text.report(played).splitlines()[3:7] == [
        "  in the gate the controller is killed    7.0s  as expected",
        "      back 5.5s after the fault, by itself",
        "      runs 1.0.0-a on web1, web2; 1 health check of each asked from outside",
        "  in the gate a host's agent is killed          not played",
    ]


def test_what_customers_met_is_told_for_all_of_them_together() -> None:
    served = {("app", "web1"): Served(90, 0, 0.2), ("app", "web2"): Served(10, 3, 1.26)}
    (line,) = [
        text
        for text in lines([StepResult(STEPS[1], 9.0, (), GOOD, None, served)])
        if "drop" in text
    ]
    assert line == "      100 requests meanwhile, 3 dropped; the slowest took 1.3s"


def test_what_a_provider_can_t_play_is_told() -> None:
    cable = tuple(act for act in FAULTS if act.fault in vagrant.PROVIDER.unable)
    text = report_text.report(RehearsalReport("p.yaml", vagrant.PROVIDER, CAST, (), (), cable))
    assert "left out, as Vagrant can't play it: in the gate a host's cable is cut\n" in text

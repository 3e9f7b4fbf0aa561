from __future__ import annotations

from recorded_runs import NEW, failed_run, good_run, problem
from shipit.events import HostEnded, HostFailed, Outcome, RunBegan, Sent, StepBegan
from shipit.output.progress import Progress

FLEET = tuple(f"web{number}" for number in range(1, 101))


def progress() -> Progress:
    made = Progress()
    made.take(RunBegan("deploy", "demoapp", FLEET), now=10.0)
    return made


def test_a_small_fleet_keeps_its_order() -> None:
    made = Progress()
    for event in failed_run():
        made.take(event, now=0.0)
    view = made.view(height=10)
    assert [row.host for row in view.rows] == ["web1", "web2"]
    assert view.title == "deploy  demoapp  2 hosts  roll back batch 1/2"
    assert view.rest == ""


def test_of_a_large_fleet_the_failed_and_the_active_are_shown_and_the_rest_counted() -> None:
    made = progress()
    for host in FLEET[:60]:
        made.take(HostEnded(host, Outcome.COMMITTED, NEW, 1.0), now=11.0)
    made.take(StepBegan("web61", "venv"), now=11.0)
    made.take(HostFailed(problem("web99")), now=11.0)
    view = made.view(height=10)
    assert [row.host for row in view.rows] == ["web99", "web61"]
    assert view.rest == "60 more committed, 38 more waiting"


def test_more_failures_than_lines_are_counted_too() -> None:
    made = progress()
    for host in FLEET:
        made.take(HostFailed(problem(host)), now=11.0)
    view = made.view(height=10)
    assert len(view.rows) == 10
    assert view.rest == "90 more failed"


def test_a_row_knows_its_step_and_the_bytes_sent_in_it() -> None:
    made = progress()
    made.take(StepBegan("web1", "send"), now=12.0)
    made.take(Sent("web1", 5, 10), now=13.0)
    row = made.rows["web1"]
    assert (row.step, row.since, row.done, row.total) == ("send", 12.0, 5, 10)
    made.take(StepBegan("web1", "venv"), now=14.0)
    assert made.rows["web1"].total == 0


def test_a_new_run_clears_the_rows() -> None:
    made = progress()
    for event in good_run(["db1"]):
        made.take(event, now=20.0)
    assert list(made.rows) == ["db1"]
    assert made.began == 20.0


def test_a_host_nobody_announced_is_shown_as_well() -> None:
    made = Progress()
    made.take(StepBegan("web1", "connect"), now=0.0)
    assert [row.host for row in made.view(height=5).rows] == ["web1"]

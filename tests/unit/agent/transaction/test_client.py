"""What a session sees of the transaction: locks, verdicts, the last word, a host that is stuck."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fake_deploy import Simulation, manifest, put
from fake_disk import FullDisk
from shipit.agent.host.host import QUICK
from shipit.agent.protocol.answers import Result
from shipit.agent.protocol.controls import Control
from shipit.agent.protocol.messages import Activate, Failure, Healthy, Settled, StepBegan
from shipit.agent.records import history, holds, registry, releases
from shipit.agent.storage import prune
from shipit.agent.system import files
from shipit.agent.system.failures import Refused
from shipit.agent.system.process import Done
from shipit.agent.transaction import client, recovery
from shipit.agent.transaction.states import State
from shipit.agent.transaction.store import COMMIT, REVERT, Store

if TYPE_CHECKING:
    from collections.abc import Sequence

SECRET = "s3cr3t-in-a-log"


@pytest.fixture
def simulation(tmp_path: Path) -> Simulation:
    return Simulation.at(tmp_path)


def said(simulation: Simulation) -> list[object]:
    return list(client.follow(simulation.store))


def test_a_session_receives_every_step_and_the_end(simulation: Simulation) -> None:
    simulation.deploy(manifest(simulation.paths, "r1"))
    messages = said(simulation)
    steps = [message.step for message in messages if isinstance(message, StepBegan)]
    assert steps == ["arm", "trial", "activate", "check", "commit"]
    assert Healthy("t1", "r1") in messages
    assert messages[-1] == Settled("t1", Result.COMMITTED, "r1")


def test_where_nothing_ever_ran_there_is_nothing_to_follow(simulation: Simulation) -> None:
    assert said(simulation) == []


def test_the_last_word_is_found_even_if_it_was_lost(simulation: Simulation) -> None:
    simulation.deploy(manifest(simulation.paths, "r1"))
    opened = client.begin(simulation.store, simulation._attempt("deploy"), "r2", fresh=True)
    following = client.follow(simulation.store)
    simulation.machine.idle.append(simulation.store.close)
    assert list(following) == [Settled(opened.txn, Result.DISCARDED, "r1")]


def test_a_dead_driver_is_made_up_for_by_who_follows(simulation: Simulation) -> None:
    simulation.deploy(manifest(simulation.paths, "r1"))
    simulation._launched(simulation._attempt("rollback"), "r1")
    simulation.machine.driver = []
    assert isinstance(said(simulation)[-1], Settled)
    simulation.assert_serves("r1")
    simulation.assert_nothing_is_left()


def test_a_second_transaction_is_refused_and_names_the_owner_of_the_first(
    simulation: Simulation,
) -> None:
    first = simulation._attempt("deploy")
    client.begin(simulation.store, first, "r1", fresh=True)
    with (
        simulation.store.session(first),
        pytest.raises(Refused, match=r"a deploy by dev@laptop.*in session") as refused,
    ):
        client.begin(simulation.store, simulation._attempt("deploy"), "r2", fresh=True)
    assert refused.value.failure.code == "locked"


def test_a_live_session_is_not_recovered_and_a_dead_one_is(simulation: Simulation) -> None:
    attempt = simulation._attempt("deploy")
    with simulation.store.session(attempt):
        client.begin(simulation.store, attempt, "r1", fresh=True)
        put(simulation.paths, manifest(simulation.paths, "r1"))
        assert recovery.recover(simulation.store) == ""
    assert "was undone: nothing runs" in recovery.recover(simulation.store)
    assert os.listdir(simulation.paths.root) == ["ledger.jsonl"]  # noqa: PTH208


def test_a_discarded_rollback_keeps_the_release(simulation: Simulation) -> None:
    for release in ("r1", "r2"):
        simulation.deploy(manifest(simulation.paths, release))
    attempt = simulation._attempt("rollback")
    opened = client.begin(simulation.store, attempt, "r1", fresh=False)
    why = Failure("unstaged", "another host failed", "stage")
    settled = client.discard(simulation.store, opened.txn, why)
    assert settled == Settled(attempt.txn, Result.DISCARDED, "r2", why)
    assert releases.manifest(simulation.paths, "r1")
    assert history.rollback_target(history.entries(simulation.paths), "r2") == "r1"


def test_a_discard_of_what_a_driver_has_switched_before_it_died_rolls_it_back(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It began after the session had looked, and was killed before the session had its lock."""
    for release in ("r1", "r2"):
        simulation.deploy(manifest(simulation.paths, release))
    simulation._launched(simulation._attempt("rollback"), "r1")
    simulation.machine.driver = []
    armed = simulation.store.load()
    assert armed is not None

    def switches(txn: str) -> str:
        simulation.store.save(replace(armed, state=State.ACTIVATE))
        return "revert"

    store = simulation.store
    monkeypatch.setattr(store, "claim_rollback", switches)
    settled = client.discard(store, armed.txn, Failure("driver-refused", "no", "arm"))
    assert settled is not None
    assert (settled.outcome, settled.running) == (Result.ROLLED_BACK, "r2")
    simulation.assert_serves("r2")


def test_a_release_that_is_not_there_can_not_be_launched(simulation: Simulation) -> None:
    ask = Activate(simulation._attempt("rollback"), "r9", 5.0)
    with pytest.raises(Refused, match="r9 is not on this host"):
        client.launch(simulation.store, ask, agent_zip="a", python="p")
    assert simulation.store.load() is None


@pytest.mark.parametrize(("before", "is_refused"), [(None, False), ("r2", False), ("r1", True)])
def test_a_rollback_from_what_is_no_longer_the_last_release_is_refused(
    simulation: Simulation, before: str | None, *, is_refused: bool
) -> None:
    """It was decided, and then waited for a deploy that has committed another one."""
    for release in ("r1", "r2"):
        simulation.deploy(manifest(simulation.paths, release))
    ask = Activate(simulation._attempt("rollback"), "r1", 5.0, before=before)
    if not is_refused:
        client.launch(simulation.store, ask, agent_zip="a", python="p")
        return
    with pytest.raises(
        Refused, match="the running release is now r2; it was r1 when planned"
    ) as refused:
        client.launch(simulation.store, ask, agent_zip="a", python="p")
    assert refused.value.failure.code == "changed-meanwhile"
    assert simulation.store.load() is None


def test_a_driver_that_still_removes_old_releases_does_not_hold_the_next_one_up(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for release in ("r1", "r2"):
        simulation.deploy(manifest(simulation.paths, release))
    machine, reported = simulation.machine, list[tuple[str, list[str]]]()

    def systemctl(verb: str, names: Sequence[str] = (), *, timeout: float = QUICK) -> Done:
        reported.append((verb, list(names)))
        machine.driver = []
        return Done(0, "")

    machine.driver, began = ["sweeping"], machine.clock
    monkeypatch.setattr(machine, "systemctl", systemctl)
    ask = Activate(simulation._attempt("rollback"), "r1", 5.0)
    client.launch(simulation.store, ask, agent_zip="a", python="p")
    assert reported[0] == ("stop", [simulation.paths.unit])
    assert machine.driver != []
    assert client.PRUNING_TIME <= machine.clock - began < client.UNIT_NAME_WAIT


def test_the_first_verdict_wins(simulation: Simulation) -> None:
    _in_check(simulation, healthy=True)
    assert client.settle(simulation.store, "t1", "commit") == "commit"
    assert client.settle(simulation.store, "t1", "revert") == "commit"


def test_a_verdict_that_is_carried_out_before_its_giver_looks_again_is_accepted(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def driver_ends(what: str) -> None:
        if what == "fsync":
            simulation.store.clear_verdict()

    monkeypatch.setattr(files, "os", FullDisk(meanwhile=driver_ends))
    assert simulation.store.claim("t1", COMMIT) == COMMIT


def test_a_commit_before_healthy_is_not_accepted(simulation: Simulation) -> None:
    _in_check(simulation, healthy=False)
    assert client.settle(simulation.store, "t1", "commit") == ""
    assert client.settle(simulation.store, "t1", "revert") == "revert"
    assert client.settle(simulation.store, "t1", "commit") == "revert"


def test_a_verdict_after_the_end_is_answered_with_what_it_came_to(simulation: Simulation) -> None:
    simulation.deploy(manifest(simulation.paths, "r1"))
    simulation.machine.sick.add("r2")
    simulation.deploy(manifest(simulation.paths, "r2"))
    assert client.settle(simulation.store, "t1", "revert") == "commit"
    assert client.settle(simulation.store, "t2", "commit") == "revert"


def test_a_stale_verdict_binds_nobody(simulation: Simulation) -> None:
    simulation.store.claim("t0", REVERT)
    assert simulation.store.verdict("t1") == ""
    assert simulation.store.claim("t1", COMMIT) == COMMIT


def test_a_renewed_lease_holds_and_another_boots_does_not(simulation: Simulation) -> None:
    _in_check(simulation, healthy=True)
    assert simulation.store.lease_has_expired("t1")
    client.renew(simulation.store, "t1", 5.0)
    assert not simulation.store.lease_has_expired("t1")
    client.renew(simulation.store, "other", 0.0)
    assert not simulation.store.lease_has_expired("t1")
    simulation.machine.boots += 1
    assert simulation.store.lease_has_expired("t1")


def _in_check(simulation: Simulation, *, healthy: bool) -> None:
    opened = client.begin(simulation.store, simulation._attempt("deploy"), "r1", fresh=True)
    simulation.store.save(replace(opened, state=State.CHECK, healthy=healthy))


def test_the_journal_is_roots_alone_and_holds_no_log(simulation: Simulation) -> None:
    opened = client.begin(simulation.store, simulation._attempt("deploy"), "r1", fresh=True)
    failure = Failure("check-failed", "no", "check", evidence=SECRET)
    simulation.store.save(replace(opened, failure=failure))
    path = Path(simulation.paths.journal)
    assert path.stat().st_mode & 0o777 == 0o600
    assert SECRET not in path.read_text()
    assert simulation.store.load() == replace(opened, failure=replace(failure, evidence=""))


# --- stuck -------------------------------------------------------------------------------------


@pytest.fixture
def stuck(simulation: Simulation) -> Simulation:
    """A host whose new release is bad, and whose old one is unhealthy after the rollback."""
    simulation.deploy(manifest(simulation.paths, "r1"))
    simulation.machine.sick |= {"r1", "r2"}
    simulation.deploy(manifest(simulation.paths, "r2"))
    return simulation


def test_a_host_whose_old_release_is_unhealthy_is_stuck_and_reports_it(stuck: Simulation) -> None:
    settled = stuck.settled()
    assert settled is not None
    assert (settled.outcome, settled.running) == ("stuck", "r1")
    assert settled.failure is not None
    assert "; then, in revert: [check-failed] GET" in settled.failure.what
    assert stuck.outcomes == ["committed", "stuck"]
    advice = stuck.store.stuck()
    assert "needs an operator: [check-failed]" in advice
    assert "Rollback target: r1" in advice
    stuck.assert_serves("r1")


def test_a_stuck_host_is_fixed_by_the_next_hello(stuck: Simulation) -> None:
    assert "retried without success" in stuck.hello()
    stuck.machine.sick.clear()
    assert "was undone: release r1 runs" in stuck.hello()
    assert stuck.store.stuck() == ""
    assert stuck.outcomes == ["committed", "stuck", "rolled_back"]
    stuck.assert_nothing_is_left()


def test_a_stuck_host_takes_a_good_release(stuck: Simulation) -> None:
    stuck.deploy(manifest(stuck.paths, "r3"))
    assert stuck.head == "r3"
    stuck.assert_serves("r3")
    stuck.assert_nothing_is_left()


def test_units_that_a_stuck_transaction_left_are_cleared_by_the_next(stuck: Simulation) -> None:
    open_ = stuck.store.load()
    assert open_ is not None
    stray = Path(stuck.paths.units, "app-worker.service")
    stray.write_text(f"[Service]\nExecStart={stuck.paths.releases}/r2/venv/bin/worker\n")
    put(stuck.paths, manifest(stuck.paths, "r2", worker=True))
    simulation = stuck
    opened = client.begin(simulation.store, simulation._attempt("deploy"), "r3", fresh=True)
    assert "app-worker.service" in opened.strays
    put(simulation.paths, manifest(simulation.paths, "r3"))
    simulation._launched(opened.attempt, "r3")
    simulation._rest()
    assert not stray.exists()
    simulation.assert_serves("r3")


def test_a_missing_previous_release_is_reported(simulation: Simulation) -> None:
    simulation.deploy(manifest(simulation.paths, "r1"))
    Path(simulation.paths.release("r1").manifest).unlink()
    simulation.machine.sick.add("r2")
    simulation.deploy(manifest(simulation.paths, "r2"))
    assert "r1 is no longer on this host" in simulation.failure().what


def test_a_failed_gate_is_the_cause_even_where_the_disk_takes_no_verdict(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device", simulation.paths.verdict)

    simulation.deploy(manifest(simulation.paths, "r1"))
    simulation.machine.sick.add("r2")
    monkeypatch.setattr(Store, "claim", full)
    simulation.deploy(manifest(simulation.paths, "r2"))
    assert simulation.outcomes == ["committed", "rolled_back"]
    assert simulation.failure().code == "check-failed"


# --- pruning -----------------------------------------------------------------------------------


def test_old_releases_and_their_blobs_go_when_a_new_one_is_committed(
    simulation: Simulation,
) -> None:
    blobs = Path(simulation.paths.blobs)
    blobs.mkdir(parents=True)
    for release in ("r1", "r2", "r3", "r4"):
        (blobs / release.ljust(64, "0")).write_bytes(b"wheel")
        os.utime(blobs / release.ljust(64, "0"), (0, 0))
        simulation.deploy(manifest(simulation.paths, release, keep=2))
    (blobs / ("f" * 64)).write_bytes(b"on its way")
    os.utime(blobs / ("f" * 64), (simulation.machine.wall_time,) * 2)
    prune.delete_unused(simulation.paths, simulation.machine.wall_time)
    assert releases.listed(simulation.paths) == ["r3", "r4"]
    assert sorted(path.name[:2] for path in blobs.iterdir()) == ["ff", "r3", "r4"]
    assert not Path(simulation.paths.marked).exists()


def test_the_blobs_of_another_app_stay(simulation: Simulation) -> None:
    other = replace(
        simulation.paths, app="other", root=str(Path(simulation.paths.root).parent / "other")
    )
    put(other, replace(manifest(other, "x1"), app="other"))
    registry.note_committed(other, "x1")
    blob = Path(simulation.paths.blob("x1".ljust(64, "0")))
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"wheel")
    os.utime(blob, (0, 0))
    simulation.deploy(manifest(simulation.paths, "r1"))
    assert blob.exists()


def test_of_the_failed_releases_the_newest_is_kept_as_evidence(simulation: Simulation) -> None:
    simulation.deploy(manifest(simulation.paths, "r1"))
    for release in ("r2", "r3"):
        simulation.machine.sick.add(release)
        simulation.deploy(manifest(simulation.paths, release))
    assert releases.listed(simulation.paths) == ["r1", "r3"]


def test_a_host_that_confirms_by_itself_waits_for_nobody(simulation: Simulation) -> None:
    simulation.verdict = ""  # the controller has disconnected, and its lease has expired
    _launched_to_confirm_alone(simulation)
    simulation._rest()
    messages = said(simulation)
    assert messages[-1] == Settled("t1", Result.COMMITTED, "r1")
    assert Healthy("t1", "r1") not in messages
    simulation.assert_serves("r1")
    simulation.assert_nothing_is_left()


def test_a_host_that_confirms_by_itself_rolls_back_after_a_failed_gate(
    simulation: Simulation,
) -> None:
    simulation.machine.sick.add("r1")
    _launched_to_confirm_alone(simulation)
    simulation._rest()
    simulation.assert_serves("")
    simulation.assert_nothing_is_left()


def _launched_to_confirm_alone(simulation: Simulation) -> None:
    attempt = simulation._attempt("deploy")
    client.begin(simulation.store, attempt, "r1", fresh=True)
    put(simulation.paths, manifest(simulation.paths, "r1"))
    ask = Activate(attempt, "r1", 0.0, confirm="host")
    client.launch(simulation.store, ask, agent_zip="a.pyz", python="python3")


def test_what_runs_is_reported_with_its_owner_and_whether_it_has_a_session(
    simulation: Simulation,
) -> None:
    assert client.attached(simulation.store) is None
    attempt = simulation._attempt("deploy")
    client.begin(simulation.store, attempt, "r1", fresh=True)
    left = client.attached(simulation.store)
    with simulation.store.session(attempt):
        led = client.attached(simulation.store)
    assert left is not None
    assert led is not None
    assert (left.is_led, led.is_led, led.holder.attempt, led.release) == (
        False, True, attempt, "r1",
    )  # fmt: skip


def test_a_guest_leaves_to_a_live_session_what_it_has_begun(simulation: Simulation) -> None:
    attempt = simulation._attempt("deploy")
    with simulation.store.session(attempt):
        opened = client.begin(simulation.store, attempt, "r1", fresh=True)
        simulation.store.save(replace(opened, state=State.ARM))
        guest = client.follow(simulation.store, timeout=2.0, is_guest=True)
        with pytest.raises(Refused, match="no end within"):
            list(guest)
        assert simulation.store.load() is not None


@pytest.mark.parametrize(("verdict", "code"), [("revert", "called-back"), ("", "lease-expired")])
@pytest.mark.parametrize("what", ["promote", "abort"])
def test_the_history_of_a_canary_says_who_has_aborted_it_and_why(
    simulation: Simulation, what: str, verdict: str, code: str
) -> None:
    simulation.deploy(manifest(simulation.paths, "r1"))
    holds.say(
        simulation.paths,
        Control(what, "ann@laptop", "2026-01-01T00:00:00Z", "orders are lost", txn="t2"),
    )
    simulation.verdict = verdict  # "": its controller dies before it gives one
    simulation.deploy(manifest(simulation.paths, "r2"))
    simulation.assert_serves("r1")
    newest = history.entries(simulation.paths)[-1]
    if what == "promote":
        assert newest.failure_code == code
        return
    assert newest.failure == (
        "[canary-aborted] the canary was aborted by ann@laptop: orders are lost"
    )
    (hold,) = holds.now_standing(simulation.paths, history.entries(simulation.paths), 0.0)
    assert hold.release == "r2"

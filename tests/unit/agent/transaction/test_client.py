"""What a session sees of the transaction: locks, verdicts, the last word, a host that is stuck."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fake_disk import FullDisk
from fake_story import Story, manifest, put
from shipit.agent.host.host import QUICK
from shipit.agent.protocol.answers import Result
from shipit.agent.protocol.messages import Activate, Failure, Healthy, Settled, StepBegan
from shipit.agent.records import history, registry, releases
from shipit.agent.storage import prune
from shipit.agent.system import files
from shipit.agent.system.failures import Refused
from shipit.agent.system.process import Done
from shipit.agent.transaction import client, recovery
from shipit.agent.transaction.states import State
from shipit.agent.transaction.store import COMMIT, REVERT

if TYPE_CHECKING:
    from collections.abc import Sequence

SECRET = "s3cr3t-in-a-log"


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story.at(tmp_path)


def said(story: Story) -> list[object]:
    return list(client.follow(story.store))


def test_a_session_receives_every_step_and_the_end(story: Story) -> None:
    story.deploy(manifest(story.paths, "r1"))
    messages = said(story)
    steps = [message.step for message in messages if isinstance(message, StepBegan)]
    assert steps == ["arm", "trial", "activate", "check", "commit"]
    assert Healthy("t1", "r1") in messages
    assert messages[-1] == Settled("t1", Result.COMMITTED, "r1")


def test_where_nothing_ever_ran_there_is_nothing_to_follow(story: Story) -> None:
    assert said(story) == []


def test_the_last_word_is_found_even_if_it_was_lost(story: Story) -> None:
    story.deploy(manifest(story.paths, "r1"))
    opened = client.begin(story.store, story._attempt("deploy"), "r2", fresh=True)
    following = client.follow(story.store)
    story.machine.idle.append(story.store.close)
    assert list(following) == [Settled(opened.txn, Result.DISCARDED, "r1")]


def test_a_dead_driver_is_made_up_for_by_who_follows(story: Story) -> None:
    story.deploy(manifest(story.paths, "r1"))
    story._launched(story._attempt("rollback"), "r1")
    story.machine.driver = []
    assert isinstance(said(story)[-1], Settled)
    story.assert_serves("r1")
    story.assert_nothing_is_left()


def test_a_second_transaction_is_refused_and_names_the_owner_of_the_first(story: Story) -> None:
    first = story._attempt("deploy")
    client.begin(story.store, first, "r1", fresh=True)
    with (
        story.store.session(first),
        pytest.raises(Refused, match=r"a deploy by dev@laptop.*in session") as refused,
    ):
        client.begin(story.store, story._attempt("deploy"), "r2", fresh=True)
    assert refused.value.failure.code == "locked"


def test_a_live_session_is_not_recovered_and_a_dead_one_is(story: Story) -> None:
    attempt = story._attempt("deploy")
    with story.store.session(attempt):
        client.begin(story.store, attempt, "r1", fresh=True)
        put(story.paths, manifest(story.paths, "r1"))
        assert recovery.recover(story.store) == ""
    assert "was undone: nothing runs" in recovery.recover(story.store)
    assert os.listdir(story.paths.root) == ["ledger.jsonl"]  # noqa: PTH208


def test_a_discarded_rollback_keeps_the_release(story: Story) -> None:
    for release in ("r1", "r2"):
        story.deploy(manifest(story.paths, release))
    attempt = story._attempt("rollback")
    opened = client.begin(story.store, attempt, "r1", fresh=False)
    why = Failure("unstaged", "another host failed", "stage")
    settled = client.discard(story.store, opened.txn, why)
    assert settled == Settled(attempt.txn, Result.DISCARDED, "r2", why)
    assert releases.manifest(story.paths, "r1")
    assert history.rollback_target(history.entries(story.paths), "r2") == "r1"


def test_a_release_that_is_not_there_can_not_be_launched(story: Story) -> None:
    ask = Activate(story._attempt("rollback"), "r9", 5.0)
    with pytest.raises(Refused, match="r9 is not on this host"):
        client.launch(story.store, ask, agent_zip="a", python="p")
    assert story.store.load() is None


@pytest.mark.parametrize(("before", "is_refused"), [(None, False), ("r2", False), ("r1", True)])
def test_a_rollback_from_what_is_no_longer_the_last_release_is_refused(
    story: Story, before: str | None, *, is_refused: bool
) -> None:
    """It was decided, and then waited for a deploy that has committed another one."""
    for release in ("r1", "r2"):
        story.deploy(manifest(story.paths, release))
    ask = Activate(story._attempt("rollback"), "r1", 5.0, before=before)
    if not is_refused:
        client.launch(story.store, ask, agent_zip="a", python="p")
        return
    with pytest.raises(
        Refused, match="the running release is now r2; it was r1 when planned"
    ) as refused:
        client.launch(story.store, ask, agent_zip="a", python="p")
    assert refused.value.failure.code == "changed-meanwhile"
    assert story.store.load() is None


def test_a_driver_that_still_removes_old_releases_does_not_hold_the_next_one_up(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    for release in ("r1", "r2"):
        story.deploy(manifest(story.paths, release))
    machine, told = story.machine, list[tuple[str, list[str]]]()

    def systemctl(verb: str, names: Sequence[str] = (), *, timeout: float = QUICK) -> Done:
        told.append((verb, list(names)))
        machine.driver = []
        return Done(0, "")

    machine.driver, began = ["sweeping"], machine.clock
    monkeypatch.setattr(machine, "systemctl", systemctl)
    ask = Activate(story._attempt("rollback"), "r1", 5.0)
    client.launch(story.store, ask, agent_zip="a", python="p")
    assert told[0] == ("stop", [story.paths.unit])
    assert machine.driver != []
    assert client.PRUNING_TIME <= machine.clock - began < client.UNIT_NAME_WAIT


def test_the_first_verdict_wins(story: Story) -> None:
    _in_check(story, healthy=True)
    assert client.settle(story.store, "t1", "commit") == "commit"
    assert client.settle(story.store, "t1", "revert") == "commit"


def test_a_verdict_that_is_carried_out_before_its_giver_looks_again_is_accepted(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    def driver_ends(what: str) -> None:
        if what == "fsync":
            story.store.clear_verdict()

    monkeypatch.setattr(files, "os", FullDisk(meanwhile=driver_ends))
    assert story.store.claim("t1", COMMIT) == COMMIT


def test_a_commit_before_healthy_is_not_accepted(story: Story) -> None:
    _in_check(story, healthy=False)
    assert client.settle(story.store, "t1", "commit") == ""
    assert client.settle(story.store, "t1", "revert") == "revert"
    assert client.settle(story.store, "t1", "commit") == "revert"


def test_a_verdict_after_the_end_is_answered_with_what_it_came_to(story: Story) -> None:
    story.deploy(manifest(story.paths, "r1"))
    story.machine.sick.add("r2")
    story.deploy(manifest(story.paths, "r2"))
    assert client.settle(story.store, "t1", "revert") == "commit"
    assert client.settle(story.store, "t2", "commit") == "revert"


def test_a_stale_verdict_binds_nobody(story: Story) -> None:
    story.store.claim("t0", REVERT)
    assert story.store.verdict("t1") == ""
    assert story.store.claim("t1", COMMIT) == COMMIT


def test_a_renewed_lease_holds_and_another_boots_does_not(story: Story) -> None:
    _in_check(story, healthy=True)
    assert story.store.lease_has_expired("t1")
    client.renew(story.store, "t1", 5.0)
    assert not story.store.lease_has_expired("t1")
    client.renew(story.store, "other", 0.0)
    assert not story.store.lease_has_expired("t1")
    story.machine.boots += 1
    assert story.store.lease_has_expired("t1")


def _in_check(story: Story, *, healthy: bool) -> None:
    opened = client.begin(story.store, story._attempt("deploy"), "r1", fresh=True)
    story.store.save(replace(opened, state=State.CHECK, healthy=healthy))


def test_the_journal_is_roots_alone_and_holds_no_log(story: Story) -> None:
    opened = client.begin(story.store, story._attempt("deploy"), "r1", fresh=True)
    failure = Failure("check-failed", "no", "check", evidence=SECRET)
    story.store.save(replace(opened, failure=failure))
    path = Path(story.paths.journal)
    assert path.stat().st_mode & 0o777 == 0o600
    assert SECRET not in path.read_text()
    assert story.store.load() == replace(opened, failure=replace(failure, evidence=""))


# --- stuck -------------------------------------------------------------------------------------


@pytest.fixture
def stuck(story: Story) -> Story:
    """A host whose new release is bad, and whose old one is unhealthy after the rollback."""
    story.deploy(manifest(story.paths, "r1"))
    story.machine.sick |= {"r1", "r2"}
    story.deploy(manifest(story.paths, "r2"))
    return story


def test_a_host_whose_old_release_is_unhealthy_is_stuck_and_reports_it(stuck: Story) -> None:
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


def test_a_stuck_host_is_fixed_by_the_next_hello(stuck: Story) -> None:
    assert "retried without success" in stuck.hello()
    stuck.machine.sick.clear()
    assert "was undone: release r1 runs" in stuck.hello()
    assert stuck.store.stuck() == ""
    assert stuck.outcomes == ["committed", "stuck", "rolled_back"]
    stuck.assert_nothing_is_left()


def test_a_stuck_host_takes_a_good_release(stuck: Story) -> None:
    stuck.deploy(manifest(stuck.paths, "r3"))
    assert stuck.head == "r3"
    stuck.assert_serves("r3")
    stuck.assert_nothing_is_left()


def test_units_that_a_stuck_transaction_left_are_cleared_by_the_next(stuck: Story) -> None:
    open_ = stuck.store.load()
    assert open_ is not None
    stray = Path(stuck.paths.units, "app-worker.service")
    stray.write_text(f"[Service]\nExecStart={stuck.paths.releases}/r2/venv/bin/worker\n")
    put(stuck.paths, manifest(stuck.paths, "r2", worker=True))
    story = stuck
    opened = client.begin(story.store, story._attempt("deploy"), "r3", fresh=True)
    assert "app-worker.service" in opened.strays
    put(story.paths, manifest(story.paths, "r3"))
    story._launched(opened.attempt, "r3")
    story._rest()
    assert not stray.exists()
    story.assert_serves("r3")


def test_a_missing_previous_release_is_reported(story: Story) -> None:
    story.deploy(manifest(story.paths, "r1"))
    Path(story.paths.release("r1").manifest).unlink()
    story.machine.sick.add("r2")
    story.deploy(manifest(story.paths, "r2"))
    assert "r1 is no longer on this host" in story.failure().what


# --- pruning -----------------------------------------------------------------------------------


def test_old_releases_and_their_blobs_go_when_a_new_one_is_committed(story: Story) -> None:
    blobs = Path(story.paths.blobs)
    blobs.mkdir(parents=True)
    for release in ("r1", "r2", "r3", "r4"):
        (blobs / release.ljust(64, "0")).write_bytes(b"wheel")
        os.utime(blobs / release.ljust(64, "0"), (0, 0))
        story.deploy(manifest(story.paths, release, keep=2))
    (blobs / ("f" * 64)).write_bytes(b"on its way")
    os.utime(blobs / ("f" * 64), (story.machine.wall_time,) * 2)
    prune.delete_unused(story.paths, story.machine.wall_time)
    assert releases.listed(story.paths) == ["r3", "r4"]
    assert sorted(path.name[:2] for path in blobs.iterdir()) == ["ff", "r3", "r4"]
    assert not Path(story.paths.marked).exists()


def test_the_blobs_of_another_app_stay(story: Story) -> None:
    other = replace(story.paths, app="other", root=str(Path(story.paths.root).parent / "other"))
    put(other, replace(manifest(other, "x1"), app="other"))
    registry.note_committed(other, "x1")
    blob = Path(story.paths.blob("x1".ljust(64, "0")))
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"wheel")
    os.utime(blob, (0, 0))
    story.deploy(manifest(story.paths, "r1"))
    assert blob.exists()


def test_of_the_failed_releases_the_newest_is_kept_as_evidence(story: Story) -> None:
    story.deploy(manifest(story.paths, "r1"))
    for release in ("r2", "r3"):
        story.machine.sick.add(release)
        story.deploy(manifest(story.paths, release))
    assert releases.listed(story.paths) == ["r1", "r3"]


def test_a_host_that_confirms_by_itself_waits_for_nobody(story: Story) -> None:
    story.verdict = ""  # the controller has disconnected, and its lease has expired
    _launched_to_confirm_alone(story)
    story._rest()
    messages = said(story)
    assert messages[-1] == Settled("t1", Result.COMMITTED, "r1")
    assert Healthy("t1", "r1") not in messages
    story.assert_serves("r1")
    story.assert_nothing_is_left()


def test_a_host_that_confirms_by_itself_rolls_back_after_a_failed_gate(story: Story) -> None:
    story.machine.sick.add("r1")
    _launched_to_confirm_alone(story)
    story._rest()
    story.assert_serves("")
    story.assert_nothing_is_left()


def _launched_to_confirm_alone(story: Story) -> None:
    attempt = story._attempt("deploy")
    client.begin(story.store, attempt, "r1", fresh=True)
    put(story.paths, manifest(story.paths, "r1"))
    ask = Activate(attempt, "r1", 0.0, confirm="host")
    client.launch(story.store, ask, agent_zip="a.pyz", python="python3")


def test_what_runs_is_reported_with_its_owner_and_whether_it_has_a_session(story: Story) -> None:
    assert client.attached(story.store) is None
    attempt = story._attempt("deploy")
    client.begin(story.store, attempt, "r1", fresh=True)
    left = client.attached(story.store)
    with story.store.session(attempt):
        led = client.attached(story.store)
    assert left is not None
    assert led is not None
    assert (left.is_led, led.is_led, led.holder.attempt, led.release) == (
        False, True, attempt, "r1",
    )  # fmt: skip


def test_a_guest_leaves_to_a_live_session_what_it_has_begun(story: Story) -> None:
    attempt = story._attempt("deploy")
    with story.store.session(attempt):
        opened = client.begin(story.store, attempt, "r1", fresh=True)
        story.store.save(replace(opened, state=State.ARM))
        guest = client.follow(story.store, timeout=2.0, is_guest=True)
        with pytest.raises(Refused, match="no end within"):
            list(guest)
        assert story.store.load() is not None

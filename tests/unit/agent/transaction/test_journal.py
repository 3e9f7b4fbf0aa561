"""A journal that cannot be read is a stuck transaction, never none."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fake_machine import Killed
from fake_story import Story, manifest, put
from shipit.agent.records import history
from shipit.agent.system.failures import Refused
from shipit.agent.transaction import client, recovery, runner
from shipit.agent.transaction.journal import FORMAT, UNREADABLE
from shipit.agent.transaction.runner import LOCKED
from shipit.agent.transaction.states import State
from shipit.agent.transaction.store import COMMIT, REVERT

if TYPE_CHECKING:
    from collections.abc import Callable

OLD, NEW = "r1", "r2"
NOBODY = 65534


def changed(**values: object) -> Callable[[Path], None]:
    """Damage that leaves a journal of other values."""

    def damage(path: Path) -> None:
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return damage


def holding(content: bytes) -> Callable[[Path], None]:
    return lambda path: void(path.write_bytes(content))


def void(_result: object) -> None:
    """Have no result."""


def zeroed(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def linked(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "file").touch()


def endless(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.truncate(3 * 1024**3)


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def somebody_elses(path: Path) -> None:
    os.chown(path, NOBODY, NOBODY)


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "empty": (holding(b""), "damaged"),
    "zeroed": (zeroed, "damaged"),
    "torn": (torn, "damaged"),
    "no JSON": (holding(b"\xff\xfe"), "damaged"),
    "a list": (holding(b"[]"), "damaged"),
    "null": (holding(b"null"), "damaged"),
    "deep": (holding(b"[" * 100_000), "damaged"),
    "of a newer format": (changed(format=FORMAT + 1), "its format is 2"),
    "of a format in words": (changed(format="1"), "its format is '1'"),
    "of an unknown state": (changed(state="waiting"), "waiting"),
    "without a state": (changed(state=None), "damaged"),
    "of no release": (changed(release=None), "Journal.release: expected a text, got None"),
    "of no transaction": (changed(txn=""), "names no transaction"),
    "counting in words": (changed(moves="3"), "Journal.moves: expected a whole number, got '3'"),
    "healthy in words": (
        changed(healthy="false"),
        "Journal.healthy: expected true or false, got 'false'",
    ),
    "with a list of units": (changed(untouched=[]), "damaged"),
    "with a number of units": (changed(strays=3), "damaged"),
    "by nobody": (
        changed(attempt=None),
        "Journal.attempt: expected an object for Attempt, got None",
    ),
    "a link": (linked, "symbolic link"),
    "a dangling link": (dangling, "symbolic link"),
    "a directory": (a_directory, "it is no file"),
    "a pipe": (a_pipe, "it is no file"),
    "endless": (endless, "File too large"),
}
if os.geteuid() == 0:
    DAMAGES["somebody else's"] = (somebody_elses, f"belongs to the user {NOBODY}")
each_damage = pytest.mark.parametrize(("damage", "why"), DAMAGES.values(), ids=DAMAGES)


def interrupted(story: Story) -> Path:
    """Switch to NEW up to the end of its gate, and kill the driver; return the journal's path."""

    def killed() -> None:
        open_ = story.store.load()
        if open_ is not None and open_.healthy:
            raise Killed

    story.verdict = ""
    story._lives(lambda: story._staged(manifest(story.paths, NEW, worker=True), 8000))
    story.machine.idle.append(killed)
    story._driven()
    story.machine.idle.remove(killed)
    story.assert_serves(NEW)
    story.verdict = "commit"
    return Path(story.paths.journal)


@pytest.fixture
def story(tmp_path: Path) -> Story:
    story = Story.at(tmp_path)
    story.deploy(manifest(story.paths, OLD))
    return story


def by_systemd(story: Story) -> None:
    story._rest()


def by_a_session(story: Story) -> None:
    story.machine.driver = []
    assert UNREADABLE in story.hello()


def by_a_boot(story: Story) -> None:
    story._boot()
    story._rest()


@pytest.mark.parametrize("settle", [by_systemd, by_a_session, by_a_boot])
@each_damage
def test_the_last_committed_release_comes_back(
    story: Story, damage: Callable[[Path], None], why: str, settle: Callable[[Story], None]
) -> None:
    damage(interrupted(story))
    settle(story)
    story.assert_serves(OLD)
    story.assert_nothing_is_left()
    last = history.entries(story.paths)[-1]
    assert (last.outcome, last.release, last.previous) == ("rolled_back", NEW, OLD)
    assert f"[{UNREADABLE}]" in last.failure
    assert why in last.failure
    assert os.path.lexists(story.paths.unreadable), "it is evidence"
    story.deploy(manifest(story.paths, "r3"))
    assert story.head == "r3"


@each_damage
def test_it_is_reported_and_not_taken_for_no_transaction(
    story: Story, damage: Callable[[Path], None], why: str
) -> None:
    path = interrupted(story)
    damage(path)
    open_ = story.store.load()
    assert open_ is not None
    assert (open_.state, open_.previous) == (State.STUCK, OLD)
    advice = story.store.stuck()
    for words in (
        f"[{UNREADABLE}] {path}",
        why,
        f"Rollback target: {OLD}",
        "deploy or roll",
    ):
        assert words in advice
    assert os.path.lexists(story.paths.boot_unit)
    assert os.path.lexists(story.paths.boot_link)


def test_a_file_that_the_disk_cannot_read_is_a_stuck_transaction(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = interrupted(story)
    real = os.fdopen

    def failing(descriptor: int, *given: Any, **named: Any) -> Any:  # noqa: ANN401 - as os has it
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(descriptor, *given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdopen", failing)
        assert "Input/output error" in story.store.stuck()
    by_systemd(story)
    story.assert_serves(OLD)


@each_damage
def test_a_commit_that_was_decided_is_carried_out(
    story: Story, damage: Callable[[Path], None], why: str
) -> None:
    damage(interrupted(story))
    assert story.store.claim("t2", COMMIT) == COMMIT
    by_systemd(story)
    story.assert_serves(NEW)
    assert (story.head, story.outcomes) == (NEW, ["committed", "committed"])
    story.assert_nothing_is_left()
    assert why


def test_a_commit_that_is_recorded_is_not_recorded_again(story: Story) -> None:
    path = interrupted(story)
    story.store.claim("t2", COMMIT)
    open_ = story.store.load()
    story._rest()
    assert open_ is not None
    story.store.save(replace(open_, state=State.COMMIT))
    story.store.claim("t2", COMMIT)
    torn(path)
    story.hello()
    assert (story.head, story.outcomes) == (NEW, ["committed", "committed"])
    story.assert_nothing_is_left()


def test_where_it_can_not_roll_back_a_new_release_is_accepted(story: Story) -> None:
    zeroed(interrupted(story))
    story.machine.sick.add(OLD)
    story._rest()
    assert story.state == "stuck"
    assert f"[{UNREADABLE}]" in story.store.stuck()
    assert Path(story.paths.boot_unit).exists()
    story.deploy(manifest(story.paths, "r3"))
    assert story.head == "r3"
    story.assert_serves("r3")
    story.assert_nothing_is_left()


def test_a_first_deploy_keeps_what_current_names_where_that_is_well(tmp_path: Path) -> None:
    story = Story.at(tmp_path)
    zeroed(interrupted(story))
    story._rest()
    story.assert_serves(NEW)
    for release in ("r3", "r4"):
        story.deploy(manifest(story.paths, release))
        story.assert_serves(release)
    story.assert_nothing_is_left()


def test_what_was_on_trial_goes_as_well(story: Story) -> None:
    put(story.paths, manifest(story.paths, NEW, overlaps=True))
    left = Path(story.paths.runtime_units, "app-web@trial.service")
    left.write_text("[Service]")
    client.begin(story.store, story._attempt("deploy"), NEW, fresh=True)
    zeroed(Path(story.paths.journal))
    story.hello()
    assert not left.exists()
    story.assert_serves(OLD)


@pytest.mark.parametrize("held", ["session", "driving"])
def test_it_is_left_to_a_live_process_that_may_well_know_its_content(
    story: Story, held: str
) -> None:
    changed(format=2)(interrupted(story))
    story.machine.driver = []
    with getattr(story.store, held)(story._attempt("deploy"), 0.0):
        assert story.hello() == ""
        assert json.loads(Path(story.paths.journal).read_text())["format"] == 2
        if held == "driving":
            with pytest.raises(Refused) as refused:
                client.begin(story.store, story._attempt("deploy"), "r3", fresh=True)
            assert refused.value.failure.code == "locked"
    story.assert_serves(NEW)


def test_the_format_before_it_had_a_number_is_read(story: Story) -> None:
    path = interrupted(story)
    now = story.store.load()
    raw = json.loads(path.read_text())
    assert raw.pop("format") == FORMAT
    path.write_text(json.dumps({**raw, "more": "from a newer version"}))
    assert story.store.load() == now


# --- a transaction that somebody else holds ----------------------------------------------------


def test_a_driver_that_can_not_take_the_transaction_is_started_again(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(story)
    monkeypatch.setattr("shipit.agent.transaction.runner.LOCK_WAIT", 0.0)
    with story.store.driving(story._attempt("deploy"), 0.0):
        assert runner.transact(story.store) == LOCKED
    story._rest()
    story.assert_serves(OLD)
    assert runner.transact(story.store) == 0  # it ended elsewhere


def test_a_boot_that_can_not_take_the_transaction_is_tried_again(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(story)
    story.machine.driver = []
    monkeypatch.setattr("shipit.agent.transaction.recovery.BOOT_LOCK_WAIT", 0.0)
    attempt = story._attempt("deploy")
    with (
        story.store.driving(attempt, 0.0),
        pytest.raises(Refused, match=r"held by a deploy by dev@laptop") as refused,
    ):
        recovery.recover_at_boot(story.store)
    assert refused.value.failure.code == "locked"
    assert "was undone" in recovery.recover_at_boot(story.store)
    assert recovery.recover_at_boot(story.store) == ""


# --- lease, verdict, history --------------------------------------------------------------------


@pytest.mark.parametrize(
    "deadline", ["soon", None, "1e9", float("nan"), float("inf"), [1e9]], ids=str
)
def test_a_lease_without_a_valid_time_has_expired(story: Story, deadline: object) -> None:
    story.store.write_lease("t9", 60.0)
    assert not story.store.lease_has_expired("t9")
    raw = {**json.loads(Path(story.paths.lease).read_text()), "deadline": deadline}
    Path(story.paths.lease).write_text(json.dumps(raw))
    assert story.store.lease_has_expired("t9")


@pytest.mark.parametrize("content", [b"", b"\0" * 40, b"[]", b'{"txn": "t9", "verdict": "maybe"}'])
def test_a_verdict_that_can_not_be_read_is_none_and_another_can_be_given(
    story: Story, content: bytes
) -> None:
    Path(story.paths.verdict).write_bytes(content)
    assert story.store.verdict("t9") == ""
    assert story.store.claim("t9", REVERT) == REVERT
    assert Path(story.paths.verdict).stat().st_mode & 0o777 == 0o600


def test_a_ledger_s_line_of_another_version_is_no_commit(story: Story) -> None:
    line = json.loads(Path(story.paths.ledger).read_text())
    others = [{**line, "outcome": "paused", "release": "r8"}, {"txn": "t8"}, {"txn": 3}, [], 3]
    with Path(story.paths.ledger).open("a") as stream:
        stream.writelines(json.dumps(other) + "\n" for other in others)
    attempts = history.entries(story.paths)
    top = history.head(attempts)
    assert top is not None
    assert (top.release, history.failed(attempts)) == (OLD, ["r8"])

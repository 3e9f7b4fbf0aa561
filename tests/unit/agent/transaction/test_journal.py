"""A journal that cannot be read is a stuck transaction, never none."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fake_deploy import Simulation, manifest, put
from fake_machine import Killed
from shipit.agent.records import history
from shipit.agent.system.failures import TRY_AGAIN, Refused
from shipit.agent.transaction import client, recovery, runner
from shipit.agent.transaction.journal import FORMAT, UNREADABLE
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


def interrupted(simulation: Simulation) -> Path:
    """Switch to NEW up to the end of its gate, and kill the driver; return the journal's path."""

    def killed() -> None:
        open_ = simulation.store.load()
        if open_ is not None and open_.healthy:
            raise Killed

    simulation.verdict = ""
    simulation._lives(
        lambda: simulation._staged(manifest(simulation.paths, NEW, worker=True), 8000)
    )
    simulation.machine.idle.append(killed)
    simulation._driven()
    simulation.machine.idle.remove(killed)
    simulation.assert_serves(NEW)
    simulation.verdict = "commit"
    return Path(simulation.paths.journal)


@pytest.fixture
def simulation(tmp_path: Path) -> Simulation:
    simulation = Simulation.at(tmp_path)
    simulation.deploy(manifest(simulation.paths, OLD))
    return simulation


def by_systemd(simulation: Simulation) -> None:
    simulation._rest()


def by_a_session(simulation: Simulation) -> None:
    simulation.machine.driver = []
    assert UNREADABLE in simulation.hello()


def by_a_boot(simulation: Simulation) -> None:
    simulation._boot()
    simulation._rest()


@pytest.mark.parametrize("settle", [by_systemd, by_a_session, by_a_boot])
@each_damage
def test_the_last_committed_release_comes_back(
    simulation: Simulation,
    damage: Callable[[Path], None],
    why: str,
    settle: Callable[[Simulation], None],
) -> None:
    damage(interrupted(simulation))
    settle(simulation)
    simulation.assert_serves(OLD)
    simulation.assert_nothing_is_left()
    last = history.entries(simulation.paths)[-1]
    assert (last.outcome, last.release, last.previous) == ("rolled_back", NEW, OLD)
    assert f"[{UNREADABLE}]" in last.failure
    assert why in last.failure
    assert os.path.lexists(simulation.paths.unreadable), "it is evidence"
    simulation.deploy(manifest(simulation.paths, "r3"))
    assert simulation.head == "r3"


@each_damage
def test_it_is_reported_and_not_taken_for_no_transaction(
    simulation: Simulation, damage: Callable[[Path], None], why: str
) -> None:
    path = interrupted(simulation)
    damage(path)
    open_ = simulation.store.load()
    assert open_ is not None
    assert (open_.state, open_.previous) == (State.STUCK, OLD)
    advice = simulation.store.stuck()
    for words in (
        f"[{UNREADABLE}] {path}",
        why,
        f"Rollback target: {OLD}",
        "deploy or roll",
    ):
        assert words in advice
    assert os.path.lexists(simulation.paths.boot_unit)
    assert os.path.lexists(simulation.paths.boot_link)


def test_a_file_that_the_disk_cannot_read_is_a_stuck_transaction(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = interrupted(simulation)
    real = os.fdopen

    def failing(descriptor: int, *given: Any, **named: Any) -> Any:  # noqa: ANN401 - as os has it
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(descriptor, *given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdopen", failing)
        assert "Input/output error" in simulation.store.stuck()
    by_systemd(simulation)
    simulation.assert_serves(OLD)


@each_damage
def test_a_commit_that_was_decided_is_carried_out(
    simulation: Simulation, damage: Callable[[Path], None], why: str
) -> None:
    damage(interrupted(simulation))
    assert simulation.store.claim("t2", COMMIT) == COMMIT
    by_systemd(simulation)
    simulation.assert_serves(NEW)
    assert (simulation.head, simulation.outcomes) == (NEW, ["committed", "committed"])
    simulation.assert_nothing_is_left()
    assert why


def test_a_commit_that_is_recorded_is_not_recorded_again(simulation: Simulation) -> None:
    path = interrupted(simulation)
    simulation.store.claim("t2", COMMIT)
    open_ = simulation.store.load()
    simulation._rest()
    assert open_ is not None
    simulation.store.save(replace(open_, state=State.COMMIT))
    simulation.store.claim("t2", COMMIT)
    torn(path)
    simulation.hello()
    assert (simulation.head, simulation.outcomes) == (NEW, ["committed", "committed"])
    simulation.assert_nothing_is_left()


def test_where_it_can_not_roll_back_a_new_release_is_accepted(simulation: Simulation) -> None:
    zeroed(interrupted(simulation))
    simulation.machine.sick.add(OLD)
    simulation._rest()
    assert simulation.state == "stuck"
    assert f"[{UNREADABLE}]" in simulation.store.stuck()
    assert Path(simulation.paths.boot_unit).exists()
    simulation.deploy(manifest(simulation.paths, "r3"))
    assert simulation.head == "r3"
    simulation.assert_serves("r3")
    simulation.assert_nothing_is_left()


def test_a_first_deploy_keeps_what_current_names_where_that_is_well(tmp_path: Path) -> None:
    simulation = Simulation.at(tmp_path)
    zeroed(interrupted(simulation))
    simulation._rest()
    simulation.assert_serves(NEW)
    for release in ("r3", "r4"):
        simulation.deploy(manifest(simulation.paths, release))
        simulation.assert_serves(release)
    simulation.assert_nothing_is_left()


def test_what_was_on_trial_goes_as_well(simulation: Simulation) -> None:
    put(simulation.paths, manifest(simulation.paths, NEW, overlaps=True))
    left = Path(simulation.paths.runtime_units, "app-web@trial.service")
    left.write_text("[Service]")
    client.begin(simulation.store, simulation._attempt("deploy"), NEW, fresh=True)
    zeroed(Path(simulation.paths.journal))
    simulation.hello()
    assert not left.exists()
    simulation.assert_serves(OLD)


@pytest.mark.parametrize("held", ["session", "driving"])
def test_it_is_left_to_a_live_process_that_may_well_know_its_content(
    simulation: Simulation, held: str
) -> None:
    changed(format=2)(interrupted(simulation))
    simulation.machine.driver = []
    with getattr(simulation.store, held)(simulation._attempt("deploy"), 0.0):
        assert simulation.hello() == ""
        assert json.loads(Path(simulation.paths.journal).read_text())["format"] == 2
        if held == "driving":
            with pytest.raises(Refused) as refused:
                client.begin(simulation.store, simulation._attempt("deploy"), "r3", fresh=True)
            assert refused.value.failure.code == "locked"
    simulation.assert_serves(NEW)


def test_the_format_before_it_had_a_number_is_read(simulation: Simulation) -> None:
    path = interrupted(simulation)
    now = simulation.store.load()
    raw = json.loads(path.read_text())
    assert raw.pop("format") == FORMAT
    path.write_text(json.dumps({**raw, "more": "from a newer version"}))
    assert simulation.store.load() == now


# --- a transaction that somebody else holds ----------------------------------------------------


def test_a_driver_that_can_not_take_the_transaction_is_started_again(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(simulation)
    monkeypatch.setattr("shipit.agent.transaction.runner.LOCK_WAIT", 0.0)
    with simulation.store.driving(simulation._attempt("deploy"), 0.0):
        assert runner.transact(simulation.store) == TRY_AGAIN
    simulation._rest()
    simulation.assert_serves(OLD)
    assert runner.transact(simulation.store) == 0  # it ended elsewhere


def test_a_boot_that_can_not_take_the_transaction_is_tried_again(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(simulation)
    simulation.machine.driver = []
    monkeypatch.setattr("shipit.agent.transaction.recovery.BOOT_LOCK_WAIT", 0.0)
    attempt = simulation._attempt("deploy")
    with (
        simulation.store.driving(attempt, 0.0),
        pytest.raises(Refused, match=r"held by a deploy by dev@laptop") as refused,
    ):
        recovery.recover_at_boot(simulation.store)
    assert refused.value.failure.code == "locked"
    assert "was undone" in recovery.recover_at_boot(simulation.store)
    assert recovery.recover_at_boot(simulation.store) == ""


# --- lease, verdict, history --------------------------------------------------------------------


@pytest.mark.parametrize(
    "deadline", ["soon", None, "1e9", float("nan"), float("inf"), [1e9]], ids=str
)
def test_a_lease_without_a_valid_time_has_expired(simulation: Simulation, deadline: object) -> None:
    simulation.store.write_lease("t9", 60.0)
    assert not simulation.store.lease_has_expired("t9")
    raw = {**json.loads(Path(simulation.paths.lease).read_text()), "deadline": deadline}
    Path(simulation.paths.lease).write_text(json.dumps(raw))
    assert simulation.store.lease_has_expired("t9")


@pytest.mark.parametrize("content", [b"", b"\0" * 40, b"[]", b'{"txn": "t9", "verdict": "maybe"}'])
def test_a_verdict_that_can_not_be_read_is_none_and_another_can_be_given(
    simulation: Simulation, content: bytes
) -> None:
    Path(simulation.paths.verdict).write_bytes(content)
    assert simulation.store.verdict("t9") == ""
    assert simulation.store.claim("t9", REVERT) == REVERT
    assert Path(simulation.paths.verdict).stat().st_mode & 0o777 == 0o600


def test_a_ledger_s_line_of_another_version_is_no_commit(simulation: Simulation) -> None:
    line = json.loads(Path(simulation.paths.ledger).read_text())
    others = [{**line, "outcome": "paused", "release": "r8"}, {"txn": "t8"}, {"txn": 3}, [], 3]
    with Path(simulation.paths.ledger).open("a") as stream:
        stream.writelines(json.dumps(other) + "\n" for other in others)
    attempts = history.entries(simulation.paths)
    top = history.head(attempts)
    assert top is not None
    assert (top.release, history.failed(attempts)) == (OLD, ["r8"])

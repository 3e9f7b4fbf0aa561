"""No secret of any release on a host is sent, journalled or recorded_runs there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fake_deploy import Simulation, manifest, put
from shipit.agent.host.answer import Answer
from shipit.agent.protocol.answers import Result
from shipit.agent.protocol.manifest import EnvDigest
from shipit.agent.protocol.messages import (
    Attempt,
    Failure,
    Findings,
    LogLines,
    Probed,
    Settled,
    StepFailed,
)
from shipit.agent.records import history, releases
from shipit.agent.records.redactor import Redactor
from shipit.agent.system import files
from shipit.agent.transaction import client
from shipit.agent.transaction.journal import Journal
from shipit.agent.transaction.states import State

if TYPE_CHECKING:
    from shipit.agent.protocol.manifest import Manifest
    from shipit.agent.system.paths import Paths

OLD, NEW = "old-s3ntinel-Zq8w", "new-s3ntinel-V5xK"


def lay(paths: Paths, release: str, password: str, **how: tuple[str, ...] | None) -> None:
    """Put a release on the disk whose env file holds a password."""
    made = manifest(paths, release)
    env = EnvDigest("web", ("HOST", "PASSWORD"), release, "", how.get("secret", ("PASSWORD",)))
    put(paths, replace(made, env=(env,)))
    text = f'HOST="db.example.com"\nPASSWORD="{password}"\n'
    files.write(paths.release(release).env_file("web"), text.encode(), 0o600)


def whole(paths: Paths, release: str) -> Manifest:
    made = releases.manifest(paths, release)
    assert made is not None
    return made


@pytest.fixture
def simulation(tmp_path: Path) -> Simulation:
    return Simulation.at(tmp_path)


@pytest.fixture
def paths(simulation: Simulation) -> Paths:
    lay(simulation.paths, "r1", OLD)
    lay(simulation.paths, "r2", NEW)
    return simulation.paths


SAID = f"db.example.com: {OLD}, then {NEW}"
MASKED = "db.example.com: ***, then ***"
FAILURE = Failure("check-failed", SAID, "check", SAID, f"log:\n{SAID}")
MASKED_FAILURE = Failure("check-failed", MASKED, "check", MASKED, f"log:\n{MASKED}")


@pytest.mark.parametrize(
    ("message", "masked"),
    [
        (FAILURE, MASKED_FAILURE),
        (StepFailed(FAILURE), StepFailed(MASKED_FAILURE)),
        (
            Settled("t1", Result.ROLLED_BACK, NEW, FAILURE),
            Settled("t1", Result.ROLLED_BACK, NEW, MASKED_FAILURE),
        ),
        (Findings((FAILURE, FAILURE)), Findings((MASKED_FAILURE, MASKED_FAILURE))),
        (Probed("GET /", ok=False, detail=SAID), Probed("GET /", ok=False, detail=MASKED)),
        (LogLines(SAID), LogLines(MASKED)),
    ],
)
def test_secrets_of_every_release_are_masked_in_free_text_alone(
    paths: Paths, message: object, masked: object
) -> None:
    assert Redactor(paths)(message) == masked


def test_for_a_manifest_without_secret_names_every_value_is_secret(simulation: Simulation) -> None:
    lay(simulation.paths, "r1", OLD, secret=None)
    assert Redactor(simulation.paths).text(f"db.example.com {OLD}") == "*** ***"


def test_a_release_that_comes_later_is_masked_too(paths: Paths) -> None:
    redactor = Redactor(paths)
    assert redactor.text(OLD) == "***"
    lay(paths, "r3", "third-s3ntinel")
    assert redactor.text("third-s3ntinel") == "***"


def test_what_was_learnt_is_masked_before_it_lies_here(simulation: Simulation) -> None:
    redactor = Redactor(simulation.paths)
    env = EnvDigest("web", ("PASSWORD",), "r1", "", ("PASSWORD",))
    wanted = replace(manifest(simulation.paths, "r1"), env=(env,))
    redactor.learn(wanted, {"web": f'PASSWORD="{NEW}"\n'})
    assert redactor.text(f"got {NEW}") == "got ***"


def test_the_journal_holds_no_secret_and_neither_does_what_is_made_of_it(
    simulation: Simulation, paths: Paths
) -> None:
    attempt = Attempt("t1", "deploy", "dev@laptop", 1, "2026-01-01T00:00:00Z")
    opened = Journal("t1", State.REVERT, "r2", "2", "r1", fresh=True, attempt=attempt)
    saved = simulation.store.save(replace(opened, failure=FAILURE))
    assert saved.failure == MASKED_FAILURE
    assert "s3ntinel" not in Path(paths.journal).read_text()


def test_a_failed_release_leaves_no_secret_in_history_events_and_messages(
    simulation: Simulation, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer names the rotated password of the release before, and is cut in the new one."""
    monkeypatch.setattr("fake_deploy.put", lambda *_, **__: None)  # they are laid out already
    simulation.deploy(whole(paths, "r1"))
    body = f"{OLD} is refused; " + "x" * 470 + NEW

    def answer(url: str, *, timeout: float, via: str = "", **_: object) -> Answer:
        good = releases.pointed(paths) == "r1"
        return Answer(status=200) if good else Answer(error=SAID, status=500, body=body.encode())

    monkeypatch.setattr(simulation.machine, "http", answer)
    lay(paths, "r2", NEW)  # the commit has pruned it
    simulation.deploy(whole(paths, "r2"))
    assert releases.pointed(paths) == "r1"
    (entry,) = (e for e in history.entries(paths) if e.outcome == Result.ROLLED_BACK)
    for text in (entry.failure, Path(paths.events).read_text()):
        assert "s3nt" not in text
        assert "***" in text
    assert "is refused" in Path(paths.events).read_text()


def test_manifests_that_everybody_could_read_are_closed_by_the_next_transaction(
    simulation: Simulation, paths: Paths
) -> None:
    path = Path(paths.release("r1").manifest)
    path.chmod(0o644)
    attempt = Attempt("t1", "deploy", "dev@laptop", 1, "2026-01-01T00:00:00Z")
    client.begin(simulation.store, attempt, "r3", fresh=True)
    assert path.stat().st_mode & 0o777 == 0o600

"""What another tool has deployed is taken over as it is, and a rollback can return to it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fake_story import Story, manifest
from shipit.agent.records import app_root, history, releases
from shipit.agent.server import adopt, facts, status
from shipit.agent.system.failures import Refused
from unit.agent.records.test_app_root import capistrano

if TYPE_CHECKING:
    from shipit.agent.protocol.manifest import Manifest

SICK, GOOD = "r1", "r2"


@pytest.fixture
def story(tmp_path: Path) -> Story:
    story = Story.at(tmp_path)
    capistrano(Path(story.paths.root))
    return story


def taken_over(story: Story) -> Manifest:
    return adopt.adopt(story.paths, story._attempt("adopt"), story.machine.wall_time)


def theirs(story: Story) -> dict[str, str]:
    """Return everything of the other tool, and where its links lead."""
    root = Path(story.paths.root)
    ours = ("ledger.jsonl", ".doomed")
    names = [path for path in sorted(root.rglob("*")) if not path.name.startswith("adopted-")]
    return {
        str(path): os.readlink(path) if path.is_symlink() else str(path.stat().st_mtime_ns)  # noqa: PTH115
        for path in names
        if path.name not in ours and "adopted-" not in str(path) and not path.is_dir()
    }


def test_what_is_taken_over_is_recorded_and_left_as_it_is(story: Story) -> None:
    before, target = theirs(story), os.readlink(story.paths.current)  # noqa: PTH115
    made = taken_over(story)
    assert made.adopted == target
    assert theirs(story) == before
    assert app_root.problems(story.paths) == ()
    (line,) = history.entries(story.paths)
    assert (line.what, line.outcome, line.release) == ("adopt", "committed", made.id)
    found = releases.manifest(story.paths, made.id)
    assert found is not None
    assert facts.healthy(story.paths, story.machine, found)
    assert status.gather(story.store, verify=True).drift == ()


def test_a_first_deploy_that_fails_leaves_the_other_tools_as_it_was(story: Story) -> None:
    before = theirs(story)
    made = taken_over(story)
    story.machine.sick.add(SICK)
    story.deploy(manifest(story.paths, SICK, worker=True))
    assert story.outcomes == ["committed", "rolled_back"]
    assert (story.head, theirs(story)) == (made.id, before | theirs_of(story, SICK))
    assert story.machine.running == {}


def theirs_of(story: Story, release: str) -> dict[str, str]:
    """Return what is kept of a failed release as evidence."""
    folder = story.paths.release(release).top
    return {path: time for path, time in theirs(story).items() if path.startswith(folder)}


def test_a_rollback_of_the_first_deploy_brings_current_back_exactly(story: Story) -> None:
    target = os.readlink(story.paths.current)  # noqa: PTH115
    made = taken_over(story)
    story.deploy(manifest(story.paths, GOOD))
    story.assert_serves(GOOD)
    assert history.rollback_target(history.entries(story.paths), GOOD) == made.id
    story.rollback(made.id)
    assert (story.outcomes[-1], story.head) == ("committed", made.id)
    assert os.readlink(story.paths.current) == target  # noqa: PTH115
    assert story.machine.running == {}
    assert list(Path(story.paths.units).glob("app-*")) == []


def test_the_other_tools_releases_outlive_any_number_of_ours(story: Story) -> None:
    taken_over(story)
    for number in range(8):
        story.deploy(manifest(story.paths, f"r{number}", keep=2))
    assert releases.listed(story.paths) == ["20240101120000", "20240202120000", "r6", "r7"]


def test_a_root_without_current_is_taken_over_too(story: Story) -> None:
    Path(story.paths.current).unlink()
    made = taken_over(story)
    assert made.adopted == ""
    story.deploy(manifest(story.paths, GOOD))
    story.rollback(made.id)
    assert story.head == made.id
    assert not os.path.lexists(story.paths.current)


def test_what_is_shipits_own_is_not_taken_over(story: Story) -> None:
    taken_over(story)
    with pytest.raises(Refused) as caught:
        taken_over(story)
    assert caught.value.failure.code == "nothing-to-adopt"


def test_a_current_that_is_a_directory_is_refused(story: Story) -> None:
    current = Path(story.paths.current)
    current.unlink()
    current.mkdir()
    with pytest.raises(Refused) as caught:
        taken_over(story)
    assert caught.value.failure.code == "current-taken"
    assert not Path(story.paths.ledger).exists()


def test_the_drift_of_what_was_taken_over_is_its_current_alone(story: Story) -> None:
    taken_over(story)
    (Path(story.paths.root) / "releases/20240202120000/app.rb").write_text("changed")
    assert status.gather(story.store, verify=True).drift == ()
    Path(story.paths.current).unlink()
    (drift,) = status.gather(story.store, verify=True).drift
    assert drift.code == "adopted-moved"
    assert "points at no release instead of" in drift.what

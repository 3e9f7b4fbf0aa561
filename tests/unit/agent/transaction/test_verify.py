"""Nothing is switched to that is not what was committed, and a rollback is always possible."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fake_story import PACKAGES, RECORD, Story, manifest
from shipit.agent.protocol.codec import to_json
from shipit.agent.records import history, releases
from shipit.agent.transaction.states import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from shipit.agent.system.paths import ReleasePaths

HOSTILE = "[Service]\nExecStart=/tmp/rootkit\n"


@pytest.fixture
def story(tmp_path: Path) -> Story:
    """Give a machine that runs r2, and could go back to r1."""
    story = Story.at(tmp_path)
    for release in ("r1", "r2"):
        story.deploy(manifest(story.paths, release))
    return story


def unit(story: Story, release: str) -> Path:
    return Path(story.paths.release(release).units, "app-web.service")


def installed(story: Story) -> str:
    return "".join(path.read_text() for path in Path(story.paths.units).glob("app-*"))


def forge(story: Story, release: str) -> None:
    """Have a release bring another unit, with a manifest that says it is right."""
    unit(story, release).write_text(HOSTILE)
    found = releases.manifest(story.paths, release)
    assert found is not None
    texts = tuple(
        replace(text, sha256=releases.digest(HOSTILE)) if "app-web.service" in text.name else text
        for text in found.texts
    )
    path = Path(story.paths.release(release).manifest)
    path.write_text(json.dumps(to_json(replace(found, texts=texts))))


def test_the_manifest_that_was_committed_is_known_to_the_ledger(story: Story) -> None:
    (first, second) = history.entries(story.paths)
    assert first.manifest != second.manifest
    assert second.manifest == releases.manifest_digest(story.paths, "r2")


def test_a_unit_that_was_changed_before_a_rollback_is_not_installed(story: Story) -> None:
    unit(story, "r1").write_text(HOSTILE)
    story.rollback("r1")
    failure = story.failure()
    assert failure.code == "release-damaged"
    assert f"{unit(story, 'r1')} was changed" in failure.what
    assert HOSTILE not in installed(story)
    story.assert_serves("r2")
    story.assert_nothing_is_left()


def test_a_manifest_that_was_forged_before_a_rollback_is_not_believed(story: Story) -> None:
    forge(story, "r1")
    story.rollback("r1")
    assert story.failure().code == "release-damaged"
    assert "manifest.json was changed since it was committed" in story.failure().what
    assert HOSTILE not in installed(story)
    story.assert_serves("r2")


def lose_env(release: ReleasePaths) -> None:
    found = json.loads(Path(release.manifest).read_text())
    found["env"] = [{"service": "web", "keys": [], "salt": "", "digest": ""}]
    Path(release.manifest).write_text(json.dumps(found))


def lose_python(release: ReleasePaths) -> None:
    Path(release.python).unlink()
    Path(release.python).symlink_to("/usr/bin/python3.2")


def lose_wheel(release: ReleasePaths) -> None:
    Path(release.venv, PACKAGES, RECORD).unlink()


def lose_packages(release: ReleasePaths) -> None:
    shutil.rmtree(Path(release.venv, "lib"))


@pytest.mark.parametrize(
    ("lose", "words"),
    [
        (lose_env, "env/web.env is missing"),
        (lose_python, "leads to /usr/bin/python3.2, which is no longer an interpreter"),
        (lose_wheel, "uv is no longer installed"),
        (lose_packages, "uv is no longer installed"),
    ],
)
def test_a_rollback_target_that_lacks_something_is_not_switched_to(
    story: Story, lose: Callable[[ReleasePaths], None], words: str
) -> None:
    lines = [replace(line, manifest="") for line in history.entries(story.paths)]
    Path(story.paths.ledger).unlink()  # as an earlier agent wrote it: what is new is accepted
    for line in lines:
        history.append(story.paths, line)
    lose(story.paths.release("r1"))
    story.rollback("r1")
    assert story.failure().code == "release-damaged"
    assert words in story.failure().what
    story.assert_serves("r2")


def test_a_changed_text_of_the_running_release_is_put_right_before_it_is_needed(
    story: Story,
) -> None:
    unit(story, "r2").write_text(HOSTILE)
    story.machine.sick.add("r3")
    story.deploy(manifest(story.paths, "r3"))
    assert story.outcomes[-1] == "rolled_back"
    assert HOSTILE not in installed(story)
    story.assert_serves("r2")
    story.assert_nothing_is_left()


def test_nothing_is_switched_while_no_rollback_to_the_running_release_is_possible(
    story: Story,
) -> None:
    for path in (unit(story, "r2"), Path(story.paths.units, "app-web.service")):
        path.write_text(HOSTILE)
    pids = {name: run.pid for name, run in story.machine.running.items()}
    story.deploy(manifest(story.paths, "r3"))
    assert (story.outcomes[-1], story.failure().code) == ("discarded", "release-damaged")
    assert {name: run.pid for name, run in story.machine.running.items()} == pids
    story.assert_nothing_is_left()
    story.deploy(manifest(story.paths, "r2"))  # as the hint says: it is staged again
    story.assert_serves("r2")
    story.deploy(manifest(story.paths, "r3"))
    story.assert_serves("r3")


def test_a_rollback_leads_out_of_a_damaged_release(story: Story) -> None:
    for path in (unit(story, "r2"), Path(story.paths.units, "app-web.service")):
        path.write_text(HOSTILE)
    story.rollback("r1")
    story.assert_serves("r1")


def test_what_is_damaged_while_it_is_needed_is_not_installed_and_is_reported(
    story: Story,
) -> None:
    right = {path: path.read_text() for path in Path(story.paths.release("r2").top).rglob("*.*")
             if path.is_file()}  # fmt: skip
    story.machine.sick.add("r3")
    story.machine.idle.append(lambda: forge(story, "r2"))  # while r3 is in its gate
    story.deploy(manifest(story.paths, "r3"))
    opened = story.store.load()
    assert opened is not None
    assert opened.state is State.STUCK
    assert opened.failure is not None
    assert "manifest.json was changed since it was committed" in opened.failure.what
    assert HOSTILE not in installed(story)
    story.machine.idle.pop()
    for path, text in right.items():
        path.write_text(text)
    story.hello()
    story.assert_serves("r2")
    story.assert_nothing_is_left()


def test_a_boot_installs_nothing_that_was_forged(story: Story) -> None:
    story.verdict = ""
    story.machine.idle.append(lambda: forge(story, "r2"))
    calls = len(story.machine.calls)
    story.deploy(manifest(story.paths, "r3"))
    assert len(story.machine.calls) > calls
    story._lives(story._boot)
    assert HOSTILE not in installed(story)


def test_a_rendered_file_that_a_service_has_blown_up_is_a_changed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its mode may let the service write there; a terabyte of zeros takes no room on the disk."""
    monkeypatch.setattr(releases, "TEXT_LIMIT", 1000)
    path = tmp_path / "app.ini"
    path.write_text("[app]\n")
    os.truncate(path, 10**12)
    text = releases.read_text(str(path))
    assert text is not None
    assert len(text) == releases.TEXT_LIMIT

"""The files of a watch: each with one writer, and unreadable ones count as none."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from shipit.agent.protocol.answers import WatchFailure
from shipit.agent.records import watches
from shipit.agent.records.watches import Findings, Watched
from shipit.agent.system.paths import Paths

WATCHED = Watched("t1", "r1", 5.0, "boot-1", "/var/lib/shipit/agent/a.pyz", is_rollback=False)
FOUND = WatchFailure("check-failed", "no answer", "", "the log", "2026-11-30T18:00:00Z")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths("app", str(tmp_path / "opt"), str(tmp_path / "var"))


def test_what_is_watched_and_found_is_read_again_by_root_alone(paths: Paths) -> None:
    watches.begin(paths, WATCHED)
    known = watches.note(paths, Findings("t1", "boot-1", FOUND, "t2", "r0", "no room"))
    assert watches.load(paths) == WATCHED
    assert watches.findings(paths, "t1") == known
    folder = Path(paths.watch).parent
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes == {"watch": 0o700, "app.json": 0o600, "app.found.json": 0o600}
    watches.end(paths)
    assert (watches.load(paths), list(folder.iterdir())) == (None, [])


def test_findings_count_for_their_own_commit(paths: Paths) -> None:
    watches.begin(paths, WATCHED)
    watches.note(paths, Findings("t1", found=FOUND))
    watches.begin(paths, replace(WATCHED, txn="t2"))
    assert watches.findings(paths, "t2") == Findings("t2")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 2}', '{"format": 1}'])
def test_an_unreadable_file_counts_as_none(paths: Paths, content: str) -> None:
    watches.begin(paths, WATCHED)
    Path(paths.watch).write_text(content)
    Path(paths.watch_found).write_text(content)
    assert watches.load(paths) is None
    assert watches.findings(paths, "t1") == Findings("t1")


def test_a_file_that_another_user_can_have_made_counts_as_none(paths: Paths) -> None:
    watches.begin(paths, WATCHED)
    elsewhere = Path(paths.var, "elsewhere.json")
    Path(paths.watch).rename(elsewhere)
    Path(paths.watch).symlink_to(elsewhere)
    assert watches.load(paths) is None


def test_agents_that_watch_any_app_are_in_use(paths: Paths) -> None:
    assert list(watches.agents(paths)) == []
    watches.begin(paths, WATCHED)
    watches.note(paths, Findings("t1"))
    other = Paths("other", paths.root, paths.var)
    watches.begin(other, replace(WATCHED, agent="/var/lib/shipit/agent/b.pyz"))
    Path(paths.var, "watch", "third.json").write_text(json.dumps({"format": 9}))
    assert sorted(watches.agents(paths)) == ["a.pyz", "b.pyz"]

"""What nobody uses is removed, and nothing that somebody counts on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shipit.agent.records import watches
from shipit.agent.records.watches import Watched
from shipit.agent.storage import blobs, prune, uv_cache
from shipit.agent.system import files, folders
from shipit.agent.system.failures import Refused
from shipit.agent.system.paths import Paths
from unit.agent.server.test_server import Controller, folder, talking  # noqa: F401 - a fixture

LONG_AGO, NOW = 1.0, 1_000_000.0
DIGEST = "d" * 64


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    units = tmp_path / "units"
    units.mkdir()
    paths = Paths("demo", str(tmp_path / "opt"), var=str(tmp_path / "var"), units=str(units))
    blobs.prepare(paths)
    return paths


def blob(paths: Paths, digest: str = DIGEST) -> Path:
    """Put a blob there that no release refers to, and that has been there for long."""
    blobs.prepare(paths)
    path = Path(paths.blob(digest))
    path.write_bytes(b"wheel")
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def aged(path: Path) -> Path:
    os.utime(path, (LONG_AGO, LONG_AGO), follow_symlinks=False)
    return path


def test_an_agent_that_watches_a_release_stays_for_its_next_boot(paths: Paths) -> None:
    used, unused = Path(paths.agents, "a.pyz"), Path(paths.agents, "b.pyz")
    folders.make(paths, paths.agents)
    for agent in (used, unused):
        agent.touch()
        aged(agent)
    watched = Watched("t1", "r1", LONG_AGO, "boot-1", str(used), is_rollback=False)
    watches.begin(paths, watched)
    prune.delete_unused(paths, prune.AGENT_UNUSED + NOW)
    assert (used.exists(), unused.exists()) == (True, False)


# --- blobs -------------------------------------------------------------------------------------


def test_a_blob_that_nobody_uses_goes_and_its_tool_with_it(paths: Paths) -> None:
    path = blob(paths)
    tool = Path(paths.tools, f"uv-{DIGEST}")
    tool.mkdir()
    prune.delete_unused(paths, NOW)
    assert not path.exists()
    assert not tool.exists()


def test_a_blob_that_a_session_counts_on_stays_however_old_it_is(folder: Path) -> None:  # noqa: F811
    with talking(folder) as controller:
        path = blob(controller.paths)
        assert controller.hello([DIGEST]).present == (DIGEST,)
        prune.delete_unused(controller.paths, NOW)  # of another app's deploy
        assert path.exists()
    prune.delete_unused(controller.paths, NOW)
    assert not path.exists()


def test_a_session_that_counts_on_none_keeps_none(folder: Path) -> None:  # noqa: F811
    with talking(folder) as controller:
        path = blob(controller.paths)
        controller.hello()
        prune.delete_unused(controller.paths, NOW)
        assert not path.exists()


def test_who_removes_blobs_is_waited_for_and_not_for_ever(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobs, "STORE_WAIT", 0.0)
    taken = files.lock(paths.store_lock)
    with taken, pytest.raises(Refused) as refused, blobs.in_use(paths):
        pass
    assert refused.value.failure.code == "store-locked"


# --- leftovers ---------------------------------------------------------------------------------


def test_what_a_killed_process_has_left_goes_after_an_hour(paths: Paths) -> None:
    for directory in folders.folders(paths):
        files.make_directory(directory)
    Path(paths.root).mkdir()
    txn = Path(paths.journal).parent
    half = Path(paths.var, "uv-cache.4711.old")
    half.mkdir()
    (half / "file").touch()
    left = [
        half,
        *(txn / "demo.json.4711.new", txn / "demo.verdict.4711.claim"),
        *(Path(paths.agents, "x.pyz.4711.new"), Path(paths.apps, "demo.4711.new")),
        *(Path(paths.root, "current.4711.new"), Path(paths.units, "demo-web.service.4711.new")),
    ]
    others = [
        *(Path(paths.root, "backup.4711.old"), Path(paths.units, "nginx.service.4711.new")),
        Path(paths.units, "demo-web.service.20261129.old"),
        Path(paths.units, "demo-web.service.20261129.new"),
        *(txn / "demo.json", Path(paths.apps, "demo")),
    ]
    for path in (*left[1:], *others):
        path.touch()
    fresh = txn / "demo.json.4712.new"
    fresh.touch()
    for path in (*left, *others):
        aged(path)
    prune.remove_leftovers(paths, fresh.stat().st_mtime)
    assert [path for path in left if path.exists()] == []
    assert [path for path in (*others, fresh) if not path.exists()] == []


# --- uv's cache --------------------------------------------------------------------------------


@pytest.fixture
def cached(paths: Paths) -> Path:
    """Give a cached file of a mebibyte."""
    path = Path(paths.uv_cache, "archive-v0", "x", "module.py")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"#" * 2**20)
    return path


def test_a_cache_that_is_too_large_is_thrown_away(paths: Paths, cached: Path) -> None:
    uv_cache.limit(paths, most=2**21)
    assert cached.exists()
    uv_cache.limit(paths, most=2**19)
    assert not Path(paths.uv_cache).exists()


def test_what_a_venv_shares_with_the_cache_costs_nothing(
    paths: Paths, cached: Path, tmp_path: Path
) -> None:
    shared = tmp_path / "module.py"
    shared.hardlink_to(cached)
    uv_cache.limit(paths, most=2**19)
    assert cached.exists()
    (cached.parent / "other.py").write_bytes(b"#" * 2**20)
    uv_cache.limit(paths, most=2**19)
    assert not cached.exists()
    assert shared.stat().st_size == 2**20


def test_a_cache_that_somebody_installs_from_is_left(paths: Paths, cached: Path) -> None:
    with uv_cache.trusted(paths):
        uv_cache.limit(paths, most=0)
        assert cached.exists()
